/**
 * Lists of option values: `--k 8,16,32`, `--latents 4096,16384`, `--arch topk,jumprelu`, `--seeds 0,1,2`. Every combination of them is a
 * model, and all are trained in one pass over the data.
 */
import { RequestError } from "../errors.ts";
import { checkTrainRequest, type TrainOptions } from "../options.ts";
import { isOptionOf } from "../options/combinations.ts";
import { flagOf } from "../options/describe-issue.ts";
import { MOST_MODELS } from "../team/protocol.ts";

/** Options of a training run that take a list. What they decide is the model's alone, and changes nothing about the data. */
export const LIST_OPTIONS = ["arch", "latents", "expansion", "k", "l1", "l0", "targetL0", "lr"] as const;

/** Those of them whose values are texts. */
const TEXT_OPTIONS: readonly string[] = ["arch"];

/** A list's option, and the option of a single run that its values are for. */
const AXES = [...LIST_OPTIONS.map((key) => ({ list: key, key })), { list: "seeds", key: "seed" }] as const;

/** Values of options, by option. */
export type Settings = Readonly<Record<string, number | string>>;

/** One combination. */
export interface GridMember {
  /** Such as `k-8_seed-0`: its folder in the group's directory. */
  readonly name: string;
  /** The values in which it differs from the others. */
  readonly settings: Settings;
  readonly options: TrainOptions;
}

type Request = Readonly<Record<string, unknown>>;

/** Whether a request asks for several models: for a list of anything, be it of one value. */
export function isGrid(request: Request): boolean {
  return AXES.some(({ list }) => Array.isArray(request[list])) || request["seeds"] !== undefined;
}

/**
 * All combinations of a request's lists, in the order of the options, the seed last. Where architectures are listed, each takes the options
 * that it has. Where seeds are listed, all models see the data as a run of the first seed does, unless `--data-seed` says otherwise.
 *
 * @throws RequestError naming the first option at fault
 */
export function expandGrid(request: Request): GridMember[] {
  if (request["seeds"] !== undefined && request["seed"] !== undefined)
    throw new RequestError("--seed and --seeds contradict each other: give one of them");
  const grids = requestsOf(request).map((one) => ({ request: one, axes: axesOf(one) }));
  const models = grids.reduce(
    (sum, { axes }) => sum + axes.reduce((n, { values }) => n * values.length, 1),
    0,
  );
  if (models > MOST_MODELS) {
    throw new RequestError(
      `at most ${MOST_MODELS} models can be trained in one pass, got ${models}: give shorter lists`,
    );
  }
  return grids.flatMap(({ request: { seeds, seed, ...rest }, axes }) => {
    let combinations: Settings[] = [{}];
    for (const { key, values } of axes)
      combinations = combinations.flatMap((some) => values.map((value) => ({ ...some, [key]: value })));
    const data = seeds === undefined ? { seed } : { dataSeed: valuesOf(request, "seeds")[0] };
    const common = Object.fromEntries(
      Object.entries({ ...data, ...rest }).filter(([, value]) => value !== undefined),
    );
    return combinations.map((settings) => ({
      name: nameOf(settings),
      settings,
      options: checkTrainRequest({ ...common, ...settings }),
    }));
  });
}

/** The request for each architecture that is listed, without options that only others of them have; or the request itself. */
function requestsOf(request: Request): Request[] {
  if (!Array.isArray(request["arch"])) return [request];
  const architectures = valuesOf(request, "arch").map(String);
  if (architectures.length > 1 && architectures.includes("autoencoder"))
    throw new RequestError("--arch autoencoder is trained beside no other: it has no latents to compare");
  return architectures.map((architecture) => {
    const others = architectures.filter((other) => other !== architecture);
    const isForOthers = (key: string): boolean =>
      !isOptionOf(architecture, key) && others.some((other) => isOptionOf(other, key));
    const own = Object.entries(request).filter(([key]) => !isForOthers(key));
    return { ...Object.fromEntries(own), arch: [architecture] };
  });
}

/** What a request lists, with the values. */
function axesOf(request: Request): { key: string; values: readonly (number | string)[] }[] {
  return AXES.filter(({ list }) => Array.isArray(request[list]) || (list === "seeds" && list in request)).map(
    ({ list, key }) => ({ key, values: valuesOf(request, list) }),
  );
}

function nameOf(settings: Settings): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}-${value}`)
    .join("_");
}

function valuesOf(request: Request, list: string): (number | string)[] {
  const value = request[list];
  const values: unknown[] = Array.isArray(value) ? value : [value];
  if (values.length === 0) throw new RequestError(`${flagOf(list)} must have at least one value, got none`);
  const [type, expected] = TEXT_OPTIONS.includes(list) ? ["string", "names"] : ["number", "numbers"];
  const right = values.filter((one): one is number | string => typeof one === type);
  const wrong = values.find((one) => typeof one !== type);
  if (wrong !== undefined)
    throw new RequestError(
      `${flagOf(list)} must be ${expected} with commas between them, got ${JSON.stringify(wrong)}`,
    );
  const twice = right.find((one, i) => right.indexOf(one) !== i);
  if (twice !== undefined) throw new RequestError(`${flagOf(list)} names ${twice} twice`);
  return right;
}
