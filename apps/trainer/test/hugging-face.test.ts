/** Folders that Hugging Face datasets and SAELens wrote, from `corpus info` to `inspect`, as they are. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { runCli, temporaryFolder } from "./support.ts";

const FIXTURES = fileURLToPath(new URL("../../../packages/data/test/fixtures/", import.meta.url));
const folder = temporaryFolder();
const cache = join(folder, "sae-lens-cache");
const run = join(folder, "run");

async function json(...args: readonly string[]): Promise<unknown> {
  const { status, stdout, stderr } = await runCli([...args, "--json"]);
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout);
}

// Statistics are kept beside the data, so the fixture itself is not used.
beforeAll(() => cp(join(FIXTURES, "sae-lens-cache"), cache, { recursive: true }));

describe("an activation cache of SAELens", () => {
  it("is described: a row per token, with its labels", async () => {
    expect(await json("corpus", "info", "--full", cache)).toMatchObject({
      rows: 40,
      dIn: 3,
      column: "blocks.0.hook_mlp_out",
      notes: ["10 sequences are read as one row per vector"],
      samples: {
        token_ids: ["0", "1", "2", "3", "100", "101", "102", "103"],
        position: ["0", "1", "2", "3", "0", "1", "2", "3"],
      },
      statistics: { exact: true, sampledRows: 40 },
    });
  });

  it("is trained on, and its held-out rows are whole sequences", async () => {
    const shape = ["--latents", "6", "--k", "1", "--batch", "16", "--epochs", "4"];
    const options = [...shape, "--workers", "1", "--held-out", "0.2", "--out", run];
    const result = await json("train", cache, ...options);
    // One of the ten sequences is held out by the default seed.
    expect(result).toMatchObject({ examples: 4 * 36, heldOut: { rows: 4 } });
  });

  it("is evaluated and inspected, by its token ids", async () => {
    expect(await json("eval", run, cache, "--split", "held-out")).toMatchObject({ rows: 4 });
    const report = await json("inspect", run, cache, "--features", "2");
    expect(report).toMatchObject({ rows: 40, label: "token_ids" });
  });
});

describe("a DatasetDict", () => {
  it("is refused with its splits, and described by the split that is named", async () => {
    const path = join(FIXTURES, "dataset-dict");
    const { status, stderr } = await runCli(["corpus", "info", path]);
    expect({ status, lines: stderr.trim().split("\n").length }).toEqual({ status: 2, lines: 1 });
    expect(stderr).toContain(`splits train, validation; name one, for example ${join(path, "train")}`);
    expect(await json("corpus", "info", join(path, "train"))).toMatchObject({ rows: 8, dIn: 3 });
  });
});
