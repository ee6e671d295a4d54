/**
 * Ranges of S3 objects, and lists of them, by `@aws-sdk/client-s3`: it knows the ways to credentials and regions. The
 * SDK is an optional peer dependency, loaded when the first `s3://` is opened. Retries are ours (`remote-file.ts`).
 */
import { matchesGlob } from "node:path";
import { Readable } from "node:stream";
import type * as AwsS3 from "@aws-sdk/client-s3";
import { CorpusError } from "../errors.ts";
import { errorCode } from "../file-errors.ts";
import { isIndexFile } from "../folders.ts";
import type { ResolvedRemoteOptions } from "./options.ts";
import { withAttempts } from "./remote-file.ts";
import { parseRetryAfter, TransferError } from "./source.ts";
import type { RangeResponse, RangeSource, Validator } from "./source.ts";

type Sdk = typeof AwsS3;

/** Bucket and key of `s3://bucket/key`. */
interface Address {
  readonly bucket: string;
  readonly key: string;
}

/** One page of a list. */
interface ListRequest {
  readonly bucket: string;
  readonly prefix: string;
  readonly isFolder: boolean;
  /** Where the page begins. */
  readonly token: string | undefined;
}

/** What tells objects that may be corpora from notes beside them, where only a folder is named. */
const ARROW_NAME = /\.(arrows?|feather|ipc)$/i;
/** Begins a glob's first special part; `?` and brackets too, unlike in HTTP addresses. */
const GLOB = /[*?[\]{}]/;

/** A client for all `s3://` addresses of one corpus. */
export class S3Connection {
  readonly #sdk: Sdk;
  readonly #client: AwsS3.S3Client;
  readonly #options: ResolvedRemoteOptions;
  #closed = false;

  private constructor(sdk: Sdk, options: ResolvedRemoteOptions) {
    const { s3Endpoint: endpoint } = options;
    this.#sdk = sdk;
    this.#options = options;
    const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
    this.#client = new sdk.S3Client({
      maxAttempts: 1,
      followRegionRedirects: true,
      // A range has no checksum of its own, and servers other than AWS stumble over the question.
      responseChecksumValidation: "WHEN_REQUIRED",
      // Buckets of such servers have no host names of their own; their regions mean nothing.
      ...(endpoint === undefined
        ? {}
        : { endpoint, forcePathStyle: true, region: AWS_REGION || AWS_DEFAULT_REGION || "us-east-1" }),
    });
  }

  /**
   * Loads the SDK.
   * @param load what imports it.
   * @throws CorpusError unsupported, with the command that installs it.
   */
  static async open(
    options: ResolvedRemoteOptions,
    load: () => Promise<Sdk> = () => import("@aws-sdk/client-s3"),
  ): Promise<S3Connection> {
    let sdk: Sdk;
    try {
      sdk = await load();
    } catch (cause) {
      if (errorCode(cause) !== "ERR_MODULE_NOT_FOUND") throw cause;
      const what =
        "s3:// needs the package @aws-sdk/client-s3; install it with: npm install @aws-sdk/client-s3";
      throw new CorpusError("unsupported", what, { cause });
    }
    return new S3Connection(sdk, options);
  }

  /** @throws CorpusError not-found when the URL names no object. */
  source(url: string): RangeSource {
    const { bucket: Bucket, key: Key } = addressOf(url);
    return {
      url,
      request: async (first, last, validator, signal) => {
        if (this.#closed) throw new Error(`${url}: read after the corpus was closed`);
        const IfMatch = validator?.etag;
        const command = new this.#sdk.GetObjectCommand({
          Bucket,
          Key,
          Range: `bytes=${first}-${last}`,
          ...(IfMatch === undefined ? {} : { IfMatch }),
        });
        try {
          const answer = await this.#client.send(command, { abortSignal: signal });
          const body = answer.Body;
          if (!(body instanceof Readable)) throw new TransferError("the answer has no body");
          // The SDK's signal ends with the headers.
          const stop = (): void => void body.destroy(new Error("aborted"));
          if (signal.aborted) stop();
          signal.addEventListener("abort", stop, { once: true });
          return {
            status: answer.$metadata.httpStatusCode ?? 0,
            contentRange: answer.ContentRange,
            contentEncoding: answer.ContentEncoding || undefined,
            validator: { etag: answer.ETag, lastModified: answer.LastModified?.toUTCString() },
            retryAfter: undefined,
            detail: "",
            body,
          };
        } catch (error) {
          return this.#refusal(url, error);
        }
      },
    };
  }

  /**
   * The objects that a pattern names: `s3://bucket/key` itself; those of Arrow's usual names in
   * `s3://bucket/folder/`; or those that match a glob such as `s3://bucket/run-*.arrow`. In no order.
   * @throws CorpusError not-found, and as reading does.
   */
  async list(pattern: string, signal?: AbortSignal): Promise<readonly string[]> {
    const { bucket, key } = addressOf(pattern, true);
    const isFolder = key === "" || key.endsWith("/");
    if (!isFolder && !GLOB.test(key)) return [pattern];
    const prefix = isFolder ? key : key.slice(0, key.search(GLOB));
    const keys: string[] = [];
    let token: string | undefined;
    do {
      const page = await this.#page(pattern, { bucket, prefix, isFolder, token }, signal);
      keys.push(...page.keys);
      token = page.next;
    } while (token !== undefined);
    const names = keys.map((name) => name.slice(name.lastIndexOf("/") + 1));
    const found = keys.filter(
      (name) => (isFolder ? ARROW_NAME.test(name) : matchesGlob(name, key)) && !isIndexFile(name, names),
    );
    if (found.length === 0) {
      const what = isFolder
        ? "no .arrow, .arrows, .feather or .ipc object is there; name the folder that holds them, or a glob"
        : "the pattern matches no object";
      throw new CorpusError("not-found", what, { path: pattern });
    }
    return found.map((name) => `s3://${bucket}/${name}`);
  }

  /** Ends all connections. */
  close(): void {
    this.#closed = true;
    this.#client.destroy();
  }

  async #page(
    pattern: string,
    { bucket, prefix, isFolder, token }: ListRequest,
    signal: AbortSignal | undefined,
  ): Promise<{ keys: readonly string[]; next: string | undefined }> {
    const command = new this.#sdk.ListObjectsV2Command({
      Bucket: bucket,
      Prefix: prefix,
      // Not what is in folders of the folder.
      ...(isFolder ? { Delimiter: "/" } : {}),
      ...(token === undefined ? {} : { ContinuationToken: token }),
    });
    return await withAttempts({ url: pattern }, this.#options.limits, signal, async (attempt) => {
      try {
        const answer = await this.#client.send(command, { abortSignal: attempt });
        const keys = (answer.Contents ?? []).flatMap(({ Key }) => (Key === undefined ? [] : [Key]));
        return { keys, next: answer.NextContinuationToken };
      } catch (error) {
        const { status, detail, retryAfter } = this.#refusal(pattern, error);
        if (status === 429 || status >= 500) {
          throw new TransferError(`the server answered ${status}: ${detail}`, { retryAfter, cause: error });
        }
        const kind = status === 404 ? "not-found" : "unreadable";
        throw new CorpusError(kind, `the bucket cannot be listed (${status}: ${detail})`, {
          path: pattern,
          cause: error,
        });
      }
    });
  }

  /** What the SDK threw, as the server's answer where it is one. @throws TransferError, CorpusError. */
  #refusal(path: string, error: unknown): RangeResponse {
    if (error instanceof TransferError || error instanceof CorpusError) throw error;
    if (!(error instanceof Error)) throw error;
    if (error instanceof this.#sdk.S3ServiceException) {
      const headers: Readonly<Record<string, string>> = error.$response?.headers ?? {};
      return {
        status: error.$metadata.httpStatusCode ?? 0,
        contentRange: undefined,
        contentEncoding: undefined,
        validator: NO_VALIDATOR,
        retryAfter: parseRetryAfter(headers["retry-after"]),
        detail: error.name,
        body: Readable.from([]),
      };
    }
    if (error.name === "CredentialsProviderError") {
      const what =
        "there are no AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (public objects can be read by their https:// address)";
      throw new CorpusError("unreadable", what, { path, cause: error });
    }
    if (error.message === "Region is missing") {
      throw new CorpusError("unreadable", "the bucket's region is not known; set AWS_REGION", {
        path,
        cause: error,
      });
    }
    throw new TransferError(`no answer (${errorCode(error)})`, { cause: error });
  }
}

const NO_VALIDATOR: Validator = { etag: undefined, lastModified: undefined };

function addressOf(url: string, keyMayBeEmpty = false): Address {
  const match = /^s3:\/\/([^/]+)(?:\/(.*))?$/is.exec(url);
  const bucket = match?.[1];
  const key = match?.[2] ?? "";
  if (bucket === undefined || (key === "" && !keyMayBeEmpty)) {
    throw new CorpusError("not-found", "names no object; an address is s3://bucket/key", { path: url });
  }
  return { bucket, key };
}
