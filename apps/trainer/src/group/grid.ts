/**
 * Lists of option values: `--k 8,16,32`, `--l1 0.5,1,2`, `--lr 1e-3,3e-3`, `--seeds 0,1,2`. Every combination of them is a model, and all
 * are trained in one pass over the data.
 */
import { RequestError } from "../errors.ts";
import { checkTrainRequest, type TrainOptions } from "../options.ts";
import { flagOf } from "../options/describe-issue.ts";
import { MOST_MODELS } from "../team/protocol.ts";

/** Options of a training run that take a list. What they decide is the model's alone, and changes nothing about the data. */
export const LIST_OPTIONS = ["k", "l1", "l0", "targetL0", "lr"] as const;

/** A list's option, and the option of a single run that its values are for. */
const AXES = [...LIST_OPTIONS.map((key) => ({ list: key, key })), { list: "seeds", key: "seed" }] as const;

/** One combination. */
export interface GridMember {
  /** Such as `k-8_seed-0`: its folder in the group's directory. */
  readonly name: string;
  /** The values in which it differs from the others, by option. */
  readonly settings: Readonly<Record<string, number>>;
  readonly options: TrainOptions;
}

type Request = Readonly<Record<string, unknown>>;

/** Whether a request asks for several models: for a list of anything, be it of one value. */
export function isGrid(request: Request): boolean {
  return AXES.some(({ list }) => Array.isArray(request[list])) || request["seeds"] !== undefined;
}

/**
 * All combinations of a request's lists, in the order of the options, the seed last. Where seeds are listed, all models see the data as
 * a run of the first seed does, unless `--data-seed` says otherwise.
 *
 * @throws RequestError naming the first option at fault
 */
export function expandGrid(request: Request): GridMember[] {
  const { seeds, seed, ...rest } = request;
  if (seeds !== undefined && seed !== undefined)
    throw new RequestError("--seed and --seeds contradict each other: give one of them");
  const axes = AXES.filter(({ list }) => Array.isArray(request[list]) || list === "seeds").flatMap(
    ({ list, key }) => (request[list] === undefined ? [] : [{ key, values: valuesOf(request, list) }]),
  );
  const models = axes.reduce((product, { values }) => product * values.length, 1);
  if (models > MOST_MODELS) {
    const lists = axes.map(({ values }) => values.length).join(" × ");
    throw new RequestError(
      `at most ${MOST_MODELS} models can be trained in one pass, got ${lists} = ${models}: give shorter lists`,
    );
  }
  let combinations: Record<string, number>[] = [{}];
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
}

function nameOf(settings: Readonly<Record<string, number>>): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}-${value}`)
    .join("_");
}

function valuesOf(request: Request, list: string): number[] {
  const value = request[list];
  const values: unknown[] = Array.isArray(value) ? value : [value];
  if (values.length === 0) throw new RequestError(`${flagOf(list)} must have at least one value, got none`);
  const numbers = values.filter((one) => typeof one === "number");
  const wrong = values.find((one) => typeof one !== "number");
  if (wrong !== undefined)
    throw new RequestError(
      `${flagOf(list)} must be numbers with commas between them, got ${JSON.stringify(wrong)}`,
    );
  const twice = numbers.find((one, i) => numbers.indexOf(one) !== i);
  if (twice !== undefined) throw new RequestError(`${flagOf(list)} names ${twice} twice`);
  return numbers;
}
