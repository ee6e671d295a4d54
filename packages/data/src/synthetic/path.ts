/** `synth:` paths: a synthetic corpus that has no file. */
import { CorpusError } from "../errors.ts";
import type { FeatureModelOptions } from "./feature-model.ts";
import { featureModelPreset } from "./presets.ts";

const SCHEME = "synth:";

/** What a `synth:` path names. */
export interface SyntheticPath {
  readonly options: FeatureModelOptions;
  readonly rows: number;
}

/** Whether a corpus path is synthetic, right or wrong. */
export function isSyntheticPath(path: string): boolean {
  return path.startsWith(SCHEME);
}

/**
 * Reads `synth:<preset>[:<scale>][@<rows>][#<seed>]`, such as `synth:synthsaebench-16k:1/4@2e6`. Rows and seed are
 * the preset's unless named.
 * @throws CorpusError invalid-option.
 */
export function parseSyntheticPath(path: string): SyntheticPath {
  const match = /^synth:([^@#]+)(?:@([^#]*))?(?:#(.*))?$/.exec(path);
  if (match === null) {
    const what = `"${path}" is not synth:<preset>[:<scale>][@<rows>][#<seed>], such as synth:toy-1@20000`;
    throw new CorpusError("invalid-option", what);
  }
  const [, name = "", rowsText, seedText] = match;
  const preset = featureModelPreset(name);
  const rows = rowsText === undefined ? preset.rows : wholeNumber(path, "rows", rowsText);
  if (rows < 1) throw new CorpusError("invalid-option", `"${path}" has no rows; ask for at least 1`);
  const seed = seedText === undefined ? preset.options.seed : wholeNumber(path, "seed", seedText);
  return { options: { ...preset.options, seed }, rows };
}

function wholeNumber(path: string, what: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 0) {
    throw new CorpusError("invalid-option", `"${path}": ${what} must be a whole number, got "${text}"`);
  }
  return value;
}
