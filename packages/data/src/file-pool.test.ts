import { rename, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { FilePool } from "./file-pool.ts";

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
