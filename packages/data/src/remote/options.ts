/**
 * How remote corpora are read: cache, attempts and time limits. Defaults come from the environment, so that every
 * command and script on a machine shares one cache. Reads the environment, nothing else.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { CorpusError } from "../errors.ts";

/** Options for corpora on HTTP servers and in S3; each has a default. */
export interface RemoteOptions {
  /**
   * Folder of the block cache. Default: `SPARSELOOM_CACHE_DIR`, otherwise `sparseloom/blocks` in the user's cache
   * folder (`XDG_CACHE_HOME`, otherwise `~/.cache`).
   */
  readonly cacheFolder?: string | undefined;
  /** Most bytes in it; 0 for no cache. Default: `SPARSELOOM_CACHE_SIZE` (such as `500MB`), otherwise 10 GB. */
  readonly cacheBytes?: number | undefined;
  /** Server for `s3://`, of MinIO and the like. Default: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, otherwise AWS. */
  readonly s3Endpoint?: string | undefined;
  /** Attempts at each read; opening makes half as many. Default: 8. */
  readonly attempts?: number | undefined;
  /** Wait before the second attempt, in ms; doubled each time, up to 16 s. Default: 500. */
  readonly backoffMs?: number | undefined;
  /** An attempt ends when no byte comes for so long, in ms. Default: 15,000. */
  readonly silenceMs?: number | undefined;
  /** An attempt ends after so long in all, in ms; the next one goes on where it stood. Default: 60,000. */
  readonly attemptMs?: number | undefined;
}

/** `RemoteOptions` with defaults filled in. */
export interface ResolvedRemoteOptions {
  readonly cacheFolder: string;
  readonly cacheBytes: number;
  readonly s3Endpoint: string | undefined;
  readonly limits: TransferLimits;
}

/** How long one read may take, and how often it is tried. */
export interface TransferLimits {
  readonly attempts: number;
  readonly backoffMs: number;
  readonly silenceMs: number;
  readonly attemptMs: number;
}

const DEFAULT_CACHE_BYTES = 10e9;
const UNITS: Readonly<Record<string, number>> = { "": 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/** @throws CorpusError invalid-option. */
export function resolveRemoteOptions(
  options: RemoteOptions = {},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ResolvedRemoteOptions {
  const number = (name: keyof RemoteOptions, fallback: number, least: number): number => {
    const value = options[name] ?? fallback;
    if (typeof value === "number" && value >= least) return value;
    throw new CorpusError("invalid-option", `${name} must be a number of at least ${least}, got ${value}`);
  };
  return {
    cacheFolder:
      options.cacheFolder ||
      environment["SPARSELOOM_CACHE_DIR"] ||
      join(userCacheFolder(environment), "blocks"),
    cacheBytes: number("cacheBytes", sizeFrom(environment["SPARSELOOM_CACHE_SIZE"]), 0),
    s3Endpoint:
      options.s3Endpoint ||
      environment["AWS_ENDPOINT_URL_S3"] ||
      environment["AWS_ENDPOINT_URL"] ||
      undefined,
    limits: {
      attempts: number("attempts", 8, 1),
      backoffMs: number("backoffMs", 500, 0),
      silenceMs: number("silenceMs", 15_000, 1),
      attemptMs: number("attemptMs", 60_000, 1),
    },
  };
}

/** Where this package may keep things between runs. */
export function userCacheFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  return join(environment["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "sparseloom");
}

function sizeFrom(text: string | undefined): number {
  if (text === undefined || text === "") return DEFAULT_CACHE_BYTES;
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?) *([KMGT]B|)$/i.exec(text.trim()) ?? [];
  const size = Number(digits) * (UNITS[unit.toUpperCase()] ?? Number.NaN);
  if (digits !== "" && Number.isFinite(size)) return size;
  throw new CorpusError(
    "invalid-option",
    `SPARSELOOM_CACHE_SIZE must be a size such as 500MB, 20GB or 0 (no cache), got "${text}"`,
  );
}
