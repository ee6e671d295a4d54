/** Opens whatever the user named as a corpus; rows of a synthetic one are made on threads of their own. */
import {
  type Corpus,
  type CorpusOptions,
  isCorpusError,
  isSyntheticPath,
  openCorpus,
  openSyntheticCorpus,
} from "@sparseloom/data";
import { columnFor, type LoadedModel, onlyColumnOf } from "./run/model-folder.ts";
import { GeneratorThreads } from "./synthesis/generator-threads.ts";
import { TaskProgress } from "./task-progress.ts";

/**
 * A generator thread makes about 25,000 rows of synthsaebench-16k a second, a worker trains on 5,000 to 9,000 of
 * them (4,096 latents): one for every three workers keeps up.
 */
const WORKERS_OF_GENERATOR = 3;

/**
 * Opens files, globs, or `synth:<preset>`.
 * @param workers how many threads will use the rows; decides how many make synthetic ones
 */
export async function openInput(
  patterns: readonly string[],
  workers: number,
  options: CorpusOptions,
): Promise<Corpus> {
  const [path] = patterns;
  if (path === undefined || patterns.length > 1 || !isSyntheticPath(path)) {
    return await openCorpus(patterns, options);
  }
  const threads = Math.ceil(workers / WORKERS_OF_GENERATOR);
  using progress = new TaskProgress("pushing the directions apart (once, then they are kept)");
  return await openSyntheticCorpus(path, {
    column: options.column,
    blockBytes: options.blockBytes,
    threads,
    createMaker: (known) => new GeneratorThreads(known, threads),
    onStep: (done, steps) => progress.update(done, steps),
    onNotice: (line) => process.stderr.write(`${line}\n`),
  });
}

/**
 * Opens a corpus for a model: the columns asked for, or else the model's own. One column of another name will do, where
 * it is the only one.
 * @param workers as {@link openInput}
 */
export async function openForModel(
  loaded: LoadedModel,
  patterns: readonly string[],
  workers: number,
  asked: string | readonly string[] | undefined,
): Promise<Corpus> {
  try {
    return await openInput(patterns, workers, { column: columnFor(loaded, asked) });
  } catch (error) {
    const column = onlyColumnOf(loaded);
    if (column === undefined || asked !== undefined || !isCorpusError(error, "ambiguous-column")) throw error;
    return await openInput(patterns, workers, { column });
  }
}
