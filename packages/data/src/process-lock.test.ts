import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type LockHolder, ProcessLock } from "./process-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "sparseloom-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const refuse = ({ pid }: LockHolder): Error => new Error(`held by ${pid}`);

describe("a lock", () => {
  it("is refused while this process holds it, and free when it is given back", async () => {
    const path = join(folder, "held");
    {
      await using lock = await ProcessLock.acquire(path, { refuse });
      expect(await lock.isOurs()).toBe(true);
      await expect(ProcessLock.acquire(path, { refuse })).rejects.toThrow(`held by ${process.pid}`);
    }
    expect(readdirSync(folder)).toEqual([]);
    await using again = await ProcessLock.acquire(path, { refuse });
    expect(await again.isOurs()).toBe(true);
  });

  it.each(["", "{", "null", "7", '{"pid":1}'])("that was never finished (%s) is nobody's", async (text) => {
    const path = join(folder, "unfinished");
    await writeFile(path, text);
    await using lock = await ProcessLock.acquire(path, { refuse });
    expect(await lock.isOurs()).toBe(true);
  });

  it("of a process that is gone, or of another with its number, is taken over", async () => {
    const path = join(folder, "gone");
    {
      await using _ = await ProcessLock.acquire(path, { refuse });
      const own = JSON.parse(await readFile(path, "utf8")) as LockHolder;
      for (const left of [{ pid: 2 ** 22 + 1 }, { started: "1" }]) {
        await writeFile(path, JSON.stringify({ ...own, ...left }));
        await using lock = await ProcessLock.acquire(path, { refuse });
        expect(await lock.isOurs()).toBe(true);
      }
    }
  });

  it("of another machine is taken over with a word, and is theirs no more", async () => {
    const path = join(folder, "elsewhere");
    const theirs = { pid: 7, host: "elsewhere", started: "1", token: "theirs" };
    await writeFile(path, JSON.stringify(theirs));
    const taken: LockHolder[] = [];
    const lock = await ProcessLock.acquire(path, { refuse, onTakenOver: (holder) => taken.push(holder) });
    expect(taken).toEqual([theirs]);
    await writeFile(path, JSON.stringify(theirs));
    expect(await lock.isOurs()).toBe(false);
    await lock[Symbol.asyncDispose]();
    expect(JSON.parse(await readFile(path, "utf8"))).toEqual(theirs);
  });
});
