/** Bounded concurrency over a list, for reads that each wait for a round trip. Depends on nothing. */

/**
 * Runs `work` for 0 to `count - 1`, `limit` at a time. After a failure no new work is begun.
 * @throws the failure of the lowest number that failed; only when no work is running any more.
 */
export async function forConcurrently(
  count: number,
  limit: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  const failures = new Map<number, unknown>();
  let next = 0;
  const runner = async (): Promise<void> => {
    while (next < count && failures.size === 0) {
      const index = next++;
      try {
        await work(index);
      } catch (error) {
        failures.set(index, error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, count) }, runner));
  if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
}

/** As `forConcurrently`, for every item of a list; returns the results in the items' order. */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  await forConcurrently(items.length, limit, async (index) => {
    results[index] = await work(items[index]!, index);
  });
  return results;
}

/**
 * Runs `work` on the items ahead of whoever iterates, and gives the results in the items' order.
 * @param slots how many are under way or given at a time, at least 1; with 1 nothing is done ahead.
 * @param work gets the number of its slot, whose memory is its own until the iteration goes on from its result.
 * @throws the failure of an item, in its turn; like an iteration that is left, only when no work is running any more.
 */
export async function* readAhead<T, R>(
  items: Iterable<T>,
  slots: number,
  work: (item: T, slot: number) => Promise<R>,
): AsyncGenerator<R> {
  const rest = items[Symbol.iterator]();
  const underWay: { readonly slot: number; readonly outcome: Promise<PromiseSettledResult<R>> }[] = [];
  const begin = (slot: number): void => {
    const next = rest.next();
    if (next.done === true) return;
    const outcome = Promise.allSettled([work(next.value, slot)]).then(([settled]) => settled);
    underWay.push({ slot, outcome });
  };
  try {
    for (let slot = 0; slot < slots; slot++) begin(slot);
    for (let first = underWay.shift(); first !== undefined; first = underWay.shift()) {
      const outcome = await first.outcome;
      if (outcome.status === "rejected") throw outcome.reason;
      yield outcome.value;
      begin(first.slot);
    }
  } finally {
    await Promise.all(underWay.map(({ outcome }) => outcome));
  }
}
