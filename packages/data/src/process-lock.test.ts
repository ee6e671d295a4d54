import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
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
    const onTakenOver = (holder: LockHolder): void => void taken.push(holder);
    const lock = await ProcessLock.acquire(path, { refuse, onTakenOver });
    expect(taken).toEqual([theirs]);
    await lock[Symbol.asyncDispose]();
    await writeFile(path, JSON.stringify(theirs));
    await expect(ProcessLock.acquire(path, { refuse })).rejects.toThrow("held by 7");
    await writeFile(path, JSON.stringify(theirs));
    expect(await lock.isOurs()).toBe(false);
    await lock[Symbol.asyncDispose]();
    expect(JSON.parse(await readFile(path, "utf8"))).toEqual(theirs);
  });

  it("has one holder, however many processes want it at one time, a stale one in their way or none", async () => {
    const path = join(folder, "wanted");
    const program = join(import.meta.dirname, "../test/take-lock.ts");
    for (let round = 0; round < 6; round++) {
      const gone = { pid: 2 ** 22 + 1, host: hostname(), started: "1", token: "theirs" };
      if (round % 2 === 0) await writeFile(path, JSON.stringify(gone));
      const at = String(Date.now() + 700);
      const outcomes = await Promise.all(
        [1, 2, 3, 4].map(async () => {
          const { stdout } = await promisify(execFile)(process.execPath, [program, path, at]);
          return stdout.trim();
        }),
      );
      expect(outcomes.toSorted()).toEqual(["kept", "refused", "refused", "refused"]);
    }
    expect(readdirSync(folder).filter((name) => name.startsWith("wanted"))).toEqual([]);
  });
});
