import { mkdir, writeFile } from "node:fs/promises";
import { relative } from "node:path";
import { describe, expect, it } from "vitest";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { resolvePaths } from "./paths.ts";

const path = useTemporaryFolder();

async function touch(...names: readonly string[]): Promise<void> {
  for (const name of names) await writeFile(path(name), "");
}

describe("resolvePaths", () => {
  it("orders by path bytes, and takes a file that is named twice once", async () => {
    await touch("b", "B", "a10", "a2", "ä");
    const again = relative(process.cwd(), path("a2"));
    expect(await resolvePaths([path("b"), path("*"), again, path("a2")])).toEqual(
      ["B", "a10", "a2", "b", "ä"].map(path),
    );
  });

  it("takes a file whose name looks like a pattern", async () => {
    await touch("x[1].arrow");
    expect(await resolvePaths([path("x[1].arrow")])).toEqual([path("x[1].arrow")]);
  });

  it("does not take folders, unfinished files and statistics from a pattern", async () => {
    await mkdir(path("p-folder"));
    await touch("p-1.arrow", "p-2.arrow.partial", "p-1.arrow.sparseloom.json");
    expect(await resolvePaths([path("p-*")])).toEqual([path("p-1.arrow")]);
  });

  it("refuses folders with advice", async () => {
    await mkdir(path("folder"));
    await expect(resolvePaths([path("folder")])).rejects.toMatchObject({ kind: "unsupported" });
    await expect(resolvePaths([path("folder/*")])).rejects.toMatchObject({ kind: "not-found" });
  });
});
