import { chmod, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import { readStatistics, writeStatistics } from "./sidecar.ts";
import { fullStatistics } from "./statistics.ts";

const path = useTemporaryFolder();
beforeEach(() => {
  vi.stubEnv("XDG_CACHE_HOME", path("cache"));
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const columns = { x: vectorColumn({ dIn: 3 }) };

describe("recorded statistics", () => {
  it("are read back as they were, from a file beside the first file of the corpus", async () => {
    const name = await writeArrow(path("a.arrow"), columns, [20]);
    await using corpus = await openCorpus([name]);
    expect(await readStatistics(corpus)).toBeUndefined();
    const statistics = await fullStatistics(corpus, { seed: 1 });
    expect(await writeStatistics(corpus, statistics)).toBe(`${name}.sparseloom.json`);
    expect(await readStatistics(corpus)).toEqual(statistics);
    expect((await readdir(path("."))).filter((file) => file.endsWith(".partial"))).toEqual([]);
  });

  it("keep an infinite gamma", async () => {
    const equal = { x: vectorColumn({ dIn: 2, value: () => 1 }) };
    await using corpus = await openCorpus([await writeArrow(path("equal.arrow"), equal, [4])]);
    const statistics = await fullStatistics(corpus, { seed: 1 });
    await writeStatistics(corpus, statistics);
    expect(await readStatistics(corpus)).toEqual(statistics);
  });

  it("of another corpus, or of another version, are ignored", async () => {
    const name = path("a.arrow");
    await using first = await openCorpus([name]);
    await writeStatistics(first, await fullStatistics(first, { seed: 1 }));
    await writeArrow(name, { x: vectorColumn({ dIn: 3, value: () => 2 }) }, [20]);
    await using second = await openCorpus([name]);
    expect(await readStatistics(second)).toBeUndefined();
    const sidecar = await writeStatistics(second, await fullStatistics(second, { seed: 1 }));
    await writeFile(sidecar, (await readFile(sidecar, "utf8")).replace('"version": 2', '"version": 1'));
    expect(await readStatistics(second)).toBeUndefined();
  });

  it("are named as damaged rather than ignored", async () => {
    await using corpus = await openCorpus([path("a.arrow")]);
    const sidecar = await writeStatistics(corpus, await fullStatistics(corpus, { seed: 1 }));
    const whole = await readFile(sidecar, "utf8");
    for (const damaged of [
      whole.slice(0, 40),
      "[]",
      whole.replace('"meanNorm"', '"x"'),
      whole.replace(/"mean": \[\s*\d+/, '"mean": ["a"'),
      whole.replace('"exact": true', '"exact": 1'),
      whole.replace('"p50"', '"median"'),
      whole.replace('"variance"', '"variances"'),
      whole.replace('"outlierDimensions": []', '"outlierDimensions": [0.5]'),
      whole.replace('"nonFinitePlaces": []', '"nonFinitePlaces": [{"path": 1}]'),
    ]) {
      await writeFile(sidecar, damaged);
      await expect(readStatistics(corpus)).rejects.toMatchObject({ kind: "malformed", path: sidecar });
    }
  });

  it("go to the cache folder where the corpus's folder cannot be written", async () => {
    // A read-only folder stops everybody but root, for whom the sidecar stays beside the corpus.
    await mkdir(path("read-only"));
    const name = await writeArrow(path("read-only/b.arrow"), columns, [20]);
    await using corpus = await openCorpus([name]);
    const statistics = await fullStatistics(corpus, { seed: 1 });
    await chmod(path("read-only"), 0o555);
    try {
      const written = await writeStatistics(corpus, statistics);
      const cached = path(`cache/sparseloom/${corpus.fingerprint}.json`);
      expect([cached, `${name}.sparseloom.json`]).toContain(written);
      expect(await readStatistics(corpus)).toEqual(statistics);
    } finally {
      await chmod(path("read-only"), 0o755);
    }
  });

  it("are found in the cache folder", async () => {
    await using corpus = await openCorpus([await writeArrow(path("c.arrow"), columns, [20])]);
    const statistics = await fullStatistics(corpus, { seed: 1 });
    const beside = await writeStatistics(corpus, statistics);
    await mkdir(path("cache/sparseloom"), { recursive: true });
    await writeFile(path(`cache/sparseloom/${corpus.fingerprint}.json`), await readFile(beside));
    await writeFile(beside, '{"version": 2, "fingerprint": "of another corpus"}');
    expect(await readStatistics(corpus)).toEqual(statistics);
  });

  it("say so when they cannot be written for another reason", async () => {
    await using corpus = await openCorpus([path("c.arrow")]);
    const statistics = await fullStatistics(corpus, { seed: 1 });
    await mkdir(path("d"));
    await writeArrow(path("d/d.arrow"), columns, [20]);
    await mkdir(path("d/d.arrow.sparseloom.json"));
    await using blocked = await openCorpus([path("d/d.arrow")]);
    await expect(writeStatistics(blocked, statistics)).rejects.toMatchObject({ kind: "unwritable" });
  });
});
