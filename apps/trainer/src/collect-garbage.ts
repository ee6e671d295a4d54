/** Gives back the memory that starting up has used. Depends on node:v8 and node:vm only. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Collects all garbage of the calling thread, once. Loading, reading a sample and making first parameters let V8's heap
 * grow by some 30 MB, which it would keep: training allocates so little that no collection ever comes.
 */
export function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
}
