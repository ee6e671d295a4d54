/**
 * How fast the blocks of a corpus are read, in order, by one reader; the best of some passes.
 *
 *   node packages/data/checks/read-speed.ts [--passes 3] <corpus...>
 */
import { parseArgs } from "node:util";
import { openCorpus } from "../src/open-corpus.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { passes: { type: "string", default: "3" } },
});
const start = performance.now();
await using corpus = await openCorpus(positionals, { blockBytes: 16 * 2 ** 20 });
const opened = performance.now() - start;
const memory = new Uint8Array(new SharedArrayBuffer(16 * 2 ** 20));
const bytes = [...corpus.blocks].reduce((sum, block) => sum + block.byteLength, 0);
let best = Infinity;
for (let pass = 0; pass < Number(values.passes); pass++) {
  const begin = performance.now();
  for (const block of corpus.blocks) await corpus.readBlock(block, memory);
  best = Math.min(best, performance.now() - begin);
}
const peak = process.resourceUsage().maxRSS / 1024;
process.stdout.write(
  `${(bytes / 1e6).toFixed(0)} MB of ${corpus.type} in ${corpus.blocks.length} blocks, opened in ${opened.toFixed(0)} ms: ` +
    `${(bytes / 1e6 / best).toFixed(2)} GB/s, peak resident memory ${peak.toFixed(0)} MiB\n`,
);
