/**
 * What a `cfg.json` says of the vectors that a model reads and gives, beside its activation: those of a crosscoder, which
 * SAELens has not, are named in our own keys. Knows names only.
 */
import { OptionError } from "./errors.ts";

/** One of the vectors that lie side by side in a crosscoder's rows. */
export interface ModelColumn {
  /** The corpus's column that it was trained on. */
  readonly name: string;
  readonly dIn: number;
}

/** A model's form, and the architecture that it has beside it: `standard`, `topk` and the like. */
export interface ModelForm {
  readonly architecture: unknown;
  /** Of a crosscoder. */
  readonly columns?: readonly ModelColumn[];
  /** Whether it rebuilds vectors of another place than those it reads, `d_out` of them. */
  readonly transcodes: boolean;
  /** Whether a linear map of its input is added. */
  readonly skips: boolean;
}

/** SAELens's transcoders, `standard` and `jumprelu`, and ours with other activations, which it refuses. */
const TRANSCODER = /^(?:(jumprelu|topk|gated)_)?(skip_)?transcoder$/;

/**
 * Reads the form off a `cfg.json`.
 *
 * @throws OptionError if a crosscoder does not name its columns
 */
export function formOf(config: Readonly<Record<string, unknown>>): ModelForm {
  const { architecture } = config;
  const transcoder = typeof architecture === "string" ? TRANSCODER.exec(architecture) : null;
  if (transcoder !== null) {
    const [, activation = "standard", skip] = transcoder;
    return { architecture: activation, transcodes: true, skips: skip !== undefined };
  }
  const form = { transcodes: false, skips: false };
  if (architecture !== "crosscoder") return { ...form, architecture };
  const { columns, activation, d_in: dIn } = config;
  const isColumn = (value: unknown): boolean => {
    const column = (value ?? {}) as Record<string, unknown>;
    return (
      typeof column["name"] === "string" && Number.isInteger(column["d_in"]) && (column["d_in"] as number) > 0
    );
  };
  if (!Array.isArray(columns) || columns.length < 2 || !columns.every(isColumn))
    throw wrong(`columns must name at least two columns and their d_in, got ${JSON.stringify(columns)}`);
  const widths = (columns as readonly { name: string; d_in: number }[]).map((column) => ({
    name: column.name,
    dIn: column.d_in,
  }));
  if (widths.reduce((sum, column) => sum + column.dIn, 0) !== dIn)
    throw wrong(`the columns' d_in do not sum to d_in, which is ${String(dIn)}`);
  return { ...form, architecture: activation, columns: widths };
}

function wrong(what: string): OptionError {
  return new OptionError("model", `not a model that can be loaded: cfg.json: ${what}`);
}
