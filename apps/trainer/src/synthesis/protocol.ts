/** What main thread and generator threads say to each other. */
import type { FeatureModelOptions, FeatureTables } from "@sparseloom/data";

/** What a thread is born with. */
export interface GeneratorData {
  readonly model: FeatureModelOptions;
  readonly tables: FeatureTables;
  /** One shared word: the number of threads that have started. */
  readonly next: Int32Array;
}

/** Some rows to make. */
export interface GeneratorTask {
  readonly slots: SharedArrayBuffer;
  /** Byte offset in `slots`. */
  readonly offset: number;
  readonly firstRow: number;
  readonly rows: number;
}
