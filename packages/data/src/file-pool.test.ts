import { spawnSync } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { FilePool } from "./file-pool.ts";
import { resolvePaths } from "./paths.ts";

const path = useTemporaryFolder();

async function addFiles(pool: FilePool, count: number): Promise<Awaited<ReturnType<FilePool["add"]>>[]> {
  const files = [];
  for (let i = 0; i < count; i++) {
    await writeFile(path(`${i}`), `file ${i}`);
    files.push(await pool.add(path(`${i}`)));
  }
  return files;
}

describe("FilePool", () => {
  it("reads from more files than it keeps open, all at once", async () => {
    const pool = new FilePool();
    const files = await addFiles(pool, 150);
    const texts = await Promise.all(
      files.map(async (file) => {
        const bytes = new Uint8Array(file.size - 5);
        await file.read(bytes, 5);
        return Buffer.from(bytes).toString();
      }),
    );
    expect(texts).toEqual(files.map((_, i) => `${i}`));
    await pool.close();
    await expect(files[0]!.read(new Uint8Array(1), 0)).rejects.toThrow("closed");
  });

  it("notices that a file it has to open again is another one", async () => {
    const pool = new FilePool();
    const files = await addFiles(pool, 100);
    await writeFile(path("new"), "file 0");
    await rename(path("new"), path("0"));
    await expect(files[0]!.read(new Uint8Array(1), 0)).rejects.toMatchObject({
      kind: "changed",
      path: path("0"),
    });
    await pool.close();
  });

  it("refuses a pipe, which nobody may ever write to, and folders leave pipes out", async () => {
    await mkdir(path("folder"));
    expect(spawnSync("mkfifo", [path("folder/pipe")]).status).toBe(0);
    const pool = new FilePool();
    await expect(pool.add(path("folder/pipe"))).rejects.toMatchObject({
      kind: "unsupported",
      message: `${path("folder/pipe")}: is not a regular file, which a corpus must be`,
    });
    await pool.close();
    await writeFile(path("folder/a.arrow"), "ARROW1");
    expect(await resolvePaths([path("folder")])).toEqual([path("folder/a.arrow")]);
  });

  it("closes after the reads that are running", async () => {
    const pool = new FilePool();
    const [file] = await addFiles(pool, 1);
    const bytes = new Uint8Array(6);
    const reading = file!.read(bytes, 0);
    await pool.close();
    await reading;
    expect(Buffer.from(bytes).toString()).toBe("file 0");
  });
});
