/**
 * Checks exported model folders against the Python package sae-lens: both encode and decode the same raw rows,
 * and the results must agree. For people and for the tests; not part of the published package.
 *
 *   node packages/interop/check/check-saelens.ts [--python python3] [--rows file.safetensors] <model folder...>
 *
 * Exit status 0: every model agrees, or sae-lens is not there to ask; 1: one does not; 2: wrong usage or input.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { decodeSafetensors, encodeSafetensors, SparseAutoencoder } from "@sparseloom/core";

const SCRIPT = fileURLToPath(new URL("check_saelens.py", import.meta.url));
/** Rows made for a model when none are given: enough for every latent of a small model to be active somewhere. */
const RANDOM_ROWS = 256;
/** Longest wait for Python: importing torch and sae-lens alone takes 10 to 20 s on a slow disk. */
const PYTHON_TIMEOUT_MS = 300_000;

/** One model to check. */
export interface ModelToCheck {
  /** The folder with `cfg.json` and `sae_weights.safetensors`. */
  readonly folder: string;
  /** Raw rows, rows × dIn, row-major. @default 256 random rows, always the same for the same model */
  readonly rows?: Float32Array;
}

/** How one model compares; `skipped` says that Python or sae-lens is missing. */
export interface CheckResult {
  readonly status: "ok" | "mismatch" | "skipped";
  /** What to show a person, on one line. */
  readonly line: string;
}

/** What both sides must agree on, all row-major. */
export interface Reference {
  /** [rows, dIn] */
  readonly x: Float32Array;
  /** [rows, latents] */
  readonly features: Float32Array;
  /** [rows, dIn], of a transcoder [rows, dOut] */
  readonly reconstruction: Float32Array;
}

/**
 * Encodes and decodes rows of each model with core, and again with sae-lens in one Python process.
 *
 * @param python the Python to ask, a name or a path
 * @param alter changes our results before they are compared; for testing that the check can fail
 * @returns one result per model, in their order
 */
export async function checkSaeLens(
  models: readonly ModelToCheck[],
  python: string,
  alter: (reference: Reference, index: number) => Reference = (reference) => reference,
): Promise<CheckResult[]> {
  const temporary = await mkdtemp(join(tmpdir(), "sparseloom-saelens-"));
  try {
    const scriptArguments: string[] = [];
    for (const [index, { folder, rows }] of models.entries()) {
      const config: unknown = JSON.parse(await readFile(join(folder, "cfg.json"), "utf8"));
      const weights = await readFile(join(folder, "sae_weights.safetensors"));
      const model = SparseAutoencoder.fromFiles(config, weights);
      const { dIn, dOut, latents } = model;
      const x = rows ?? randomRows(weights, RANDOM_ROWS);
      const ours = { x, features: model.encodeDense(x), reconstruction: model.reconstruct(x) };
      const altered = alter(ours, index);
      const count = x.length / dIn;
      const reference = join(temporary, `${index}.safetensors`);
      await writeFile(
        reference,
        encodeSafetensors({
          x: { shape: [count, dIn], data: altered.x },
          features: { shape: [count, latents], data: altered.features },
          reconstruction: { shape: [count, dOut], data: altered.reconstruction },
        }),
      );
      scriptArguments.push(folder, reference);
    }
    return parse(await runPython(python, scriptArguments), models.length);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** The script's standard output; a line that says why it was skipped where Python itself is missing. */
function runPython(python: string, scriptArguments: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      python,
      [SCRIPT, ...scriptArguments],
      { timeout: PYTHON_TIMEOUT_MS },
      (error, stdout, stderr) => {
        if (error === null || error.code === 1) resolve(stdout || stderr);
        else if (error.code === "ENOENT") resolve(`skipped: ${python} was not found`);
        else reject(new Error(`${python} ${SCRIPT} failed: ${stderr.trim() || error.message}`));
      },
    );
  });
}

function parse(output: string, models: number): CheckResult[] {
  const lines = output.trim().split("\n");
  const results = lines.map((line): CheckResult => {
    const status = /^(ok|mismatch|skipped):/.exec(line)?.[1] as CheckResult["status"] | undefined;
    if (status === undefined) throw new Error(`unexpected output of ${SCRIPT}: ${output.trim()}`);
    return { status, line };
  });
  const [first] = results;
  if (first?.status === "skipped") return Array<CheckResult>(models).fill(first);
  if (results.length !== models) throw new Error(`${results.length} results for ${models} models: ${output}`);
  return results;
}

/**
 * Rows that a model of raw activations answers with a spread of features: around b_dec, with a mean of their own,
 * and as wide as it takes for pre-activations to exceed the encoder's biases.
 */
function randomRows(weights: Uint8Array, rows: number): Float32Array {
  const { tensors } = decodeSafetensors(weights);
  // A gated model's is called b_gate.
  const b_encName = tensors.has("b_gate") ? "b_gate" : "b_enc";
  const [W_enc, b_enc, b_dec] = ["W_enc", b_encName, "b_dec"].map(
    (name) => tensors.get(name)?.data as Float32Array,
  );
  if (W_enc === undefined || b_enc === undefined || b_dec === undefined) {
    throw new Error("sae_weights.safetensors lacks W_enc, b_enc or b_dec");
  }
  const latents = b_enc.length;
  const dIn = W_enc.length / latents;
  let width = 0;
  for (let latent = 0; latent < latents; latent++) {
    let squares = 0;
    for (let dimension = 0; dimension < dIn; dimension++) squares += W_enc[dimension * latents + latent] ** 2;
    width += (1 + Math.abs(b_enc[latent])) / (Math.sqrt(squares) + 1e-6) / latents;
  }
  const gaussian = gaussians(1);
  // About b_dec, unless that is a transcoder's, which is of another place.
  const centre = Array.from(
    { length: dIn },
    (_, i) => (b_dec.length === dIn ? b_dec[i] : 0) + width * gaussian(),
  );
  return Float32Array.from({ length: rows * dIn }, (_, i) => centre[i % dIn] + width * gaussian());
}

/** Standard normal numbers by Box and Muller's formula over a 32-bit linear congruential generator. */
function gaussians(seed: number): () => number {
  let state = seed >>> 0;
  function uniform(): number {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  }
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** The only tensor of a file, or its tensor `x`, as raw rows. */
async function readRows(path: string): Promise<Float32Array> {
  const { tensors } = decodeSafetensors(await readFile(path));
  const tensor = tensors.size === 1 ? [...tensors.values()][0] : tensors.get("x");
  if (tensor?.dtype !== "F32" || tensor.shape.length !== 2) {
    throw new Error(`${path}: expected a float32 tensor [rows, d_in], alone or named x`);
  }
  return tensor.data as Float32Array;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { python: { type: "string", default: "python3" }, rows: { type: "string" } },
  });
  if (positionals.length === 0) throw new Error("expected at least one model folder");
  const rows = values.rows === undefined ? undefined : await readRows(values.rows);
  const models = positionals.map((folder) => ({ folder, ...(rows === undefined ? {} : { rows }) }));
  const results = await checkSaeLens(models, values.python);
  process.stdout.write(results.map(({ line }) => `${line}\n`).join(""));
  return results.some(({ status }) => status === "mismatch") ? 1 : 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`check-saelens: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  }
}
