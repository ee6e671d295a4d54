/** Bounded concurrency over a list, for reads that each wait for a round trip. Depends on nothing. */

/**
 * Runs `work` on every item, `limit` at a time, and returns the results in the items' order. After a failure no new
 * work is begun.
 * @throws the failure of the first item, in their order, that failed; only when no work is running any more.
 */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const failures = new Map<number, unknown>();
  let next = 0;
  const runner = async (): Promise<void> => {
    while (next < items.length && failures.size === 0) {
      const index = next++;
      try {
        results[index] = await work(items[index]!, index);
      } catch (error) {
        failures.set(index, error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, runner));
  if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
  return results;
}
