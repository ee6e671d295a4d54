import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ObjectServer } from "../../test/object-server.ts";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import { Storage } from "../storage.ts";
import { BlockCache } from "./block-cache.ts";

const path = useTemporaryFolder();
const BYTES = Uint8Array.from({ length: 400_000 }, (_, i) => (i * 17 + (i >> 7)) & 255);

let server: ObjectServer;
beforeAll(async () => {
  server = await ObjectServer.start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** Opens the object anew, as another run would, reads two ranges, and says how many requests that took. */
async function readTwice(cacheFolder: string, cacheBytes = 1e6): Promise<number> {
  const before = server.requests.length;
  const storage = new Storage({ cacheFolder, cacheBytes, backoffMs: 1 });
  const file = await storage.open(`${server.origin}/object`);
  for (const position of [0, 200_000]) {
    const into = new Uint8Array(new SharedArrayBuffer(150_000));
    await file.read(into, position);
    expect(Buffer.from(into).equals(BYTES.subarray(position, position + 150_000))).toBe(true);
  }
  await storage.close();
  return server.requests.length - before;
}

async function entriesOf(folder: string): Promise<string[]> {
  const objects = await readdir(folder);
  const names = await Promise.all(
    objects.map(async (object) => {
      const entries = await readdir(join(folder, object));
      return entries.map((entry) => join(folder, object, entry));
    }),
  );
  return names.flat().sort();
}

describe("the cache of remote blocks", () => {
  it("gives a second run what the first has fetched; only opening asks the server", async () => {
    server.put("/object", BYTES);
    expect(await readTwice(path("twice"))).toBe(3);
    expect(await readTwice(path("twice"))).toBe(1);
    expect(await readTwice(path("twice"), 0)).toBe(3);
  });

  it("is not asked for an object that has changed, or whose content nothing tells", async () => {
    server.put("/object", BYTES, { etag: "none" });
    expect(await readTwice(path("twice"))).toBe(3);
    server.put("/object", BYTES, { etag: "none", lastModified: "none" });
    expect(await readTwice(path("unknown"))).toBe(3);
    expect(await readTwice(path("unknown"))).toBe(3);
  });

  it("fetches again what is damaged, whatever the damage", async () => {
    server.put("/object", BYTES);
    await readTwice(path("damaged"));
    const [first = "", second = ""] = await entriesOf(path("damaged"));
    const bytes = await readFile(first);
    for (const at of [0, 8, 12, 16, bytes.length - 1]) {
      await writeFile(first, bytes.with(at, bytes[at]! ^ 1));
      expect(await readTwice(path("damaged"))).toBe(2);
    }
    await truncate(first, 1000);
    await writeFile(second, "");
    expect(await readTwice(path("damaged"))).toBe(3);
    expect(await readTwice(path("damaged"))).toBe(1);
  });

  it("stays within its size, drops what was used longest ago, and leaves nothing half-written", async () => {
    const cache = new BlockCache(path("small"), 10_000);
    const ranges = cache.entries("https://host/a", "1");
    const into = new Uint8Array(984);
    for (let i = 0; i < 30; i++) {
      await ranges.write(into.fill(i), i * 1000);
      expect((await entriesOf(path("small"))).length).toBeLessThanOrEqual(10);
      // Times of files may be as coarse as the system's clock tick.
      await new Promise((resolve) => setTimeout(resolve, 12));
      expect(await ranges.read(into, 0)).toBe(true);
    }
    expect(into[0]).toBe(0);
    expect(await ranges.read(into, 29_000)).toBe(true);
    expect(into[0]).toBe(29);
    expect(await ranges.read(into, 5000)).toBe(false);
    await ranges.write(new Uint8Array(10_001), 0);
    expect((await entriesOf(path("small"))).every((name) => /\d+-984$/.test(name))).toBe(true);
  });

  it("counts what earlier processes have left", async () => {
    const first = new BlockCache(path("shared"), 1e6).entries("https://host/a", "1");
    for (let i = 0; i < 20; i++) await first.write(new Uint8Array(984), i);
    const second = new BlockCache(path("shared"), 10_000).entries("https://host/b", "1");
    await second.write(new Uint8Array(984), 0);
    expect((await entriesOf(path("shared"))).length).toBeLessThanOrEqual(10);
  });

  it("says what to do when its folder cannot be used", async () => {
    await writeFile(path("file"), "");
    const cache = new BlockCache(join(path("file"), "folder"), 1e6).entries("https://host/a", "1");
    await expect(cache.write(new Uint8Array(9), 0)).rejects.toMatchObject({
      kind: "unwritable",
      message: expect.stringMatching(/SPARSELOOM_CACHE_DIR.*SPARSELOOM_CACHE_SIZE=0/),
    });
  });
});
