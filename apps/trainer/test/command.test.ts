/** The `sparseloom` command as a user meets it: exit statuses, one clear line, nothing half-written. */
import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeSafetensors } from "@sparseloom/core";
import { countRows, openCorpus, openKnownFeatures, RowStream, writeCorpus } from "@sparseloom/data";
import { Field, FixedSizeList, Float32, Int32, List, Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { beforeAll, describe, expect, it } from "vitest";
import { readRunConfig } from "../src/run/config.ts";
import { readResult } from "../src/run/directory.ts";
import { writePairedColumns } from "./paired-columns.ts";
import { hugePagesOf } from "../src/team/huge-pages.ts";
import { type CliResult, foreign, runCli, stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");

async function countRowsOf(path: string, fraction: number): Promise<number> {
  await using whole = await openCorpus([path]);
  return await countRows(whole, { seed: 0, split: "held-out", heldOut: { fraction } });
}

type Rows = (number[] | null)[];
async function writeArrow(
  path: string,
  rows: Rows,
  type: "list" | "fixed",
  column = "activation",
): Promise<void> {
  const item = new Field("item", new Float32(), true);
  const vector = vectorFromArray(rows, type === "list" ? new List(item) : new FixedSizeList(3, item));
  await writeFile(path, tableToIPC(new Table({ [column]: vector }), "file"));
}

beforeAll(async () => {
  await writeSmallCorpus(corpus);
  await writeSmallCorpus(at("truncated.arrow"));
  await truncate(at("truncated.arrow"), 20_000);
  await writeFile(at("not-arrow.arrow"), "word,count\nthe,1\n");
  await writeFile(
    at("no-vectors.arrow"),
    tableToIPC(new Table({ count: vectorFromArray([1, 2, 3], new Int32()) }), "file"),
  );
  await writeArrow(
    at("ragged.arrow"),
    [
      [1, 2, 3],
      [4, 5],
      [6, 7, 8],
    ],
    "list",
  );
  await writeArrow(at("nulls.arrow"), [[1, 2, 3], null, [6, 7, 8]], "fixed");
  await writeArrow(
    at("nan.arrow"),
    [
      [1, 2, 3],
      [4, 5, 6],
      [7, Number.NaN, 9],
      [1, 1, 2],
    ],
    "fixed",
  );
  await writeCorpus(at("narrow.arrow"), { dIn: 7, type: "float32" }, [
    { values: new Float32Array(70).fill(1) },
  ]);
});

describe("wrong input gives exit status 2 and one clear line", () => {
  const cases: [string, string[], RegExp][] = [
    ["no corpus", ["train"], /missing corpus/],
    [
      "missing file",
      ["train", at("nowhere.arrow")],
      /nowhere\.arrow.*no such file|nowhere\.arrow.*not exist|nowhere\.arrow/,
    ],
    ["not Arrow", ["train", at("not-arrow.arrow")], /not-arrow\.arrow.*Arrow/],
    ["truncated file", ["train", at("truncated.arrow")], /truncated\.arrow/],
    ["no vector column", ["train", at("no-vectors.arrow")], /no-vectors\.arrow.*count/],
    ["ragged lists", ["train", at("ragged.arrow"), "--latents", "4", "--k", "1"], /ragged\.arrow.*row 1/],
    ["nulls", ["train", at("nulls.arrow"), "--latents", "4", "--k", "1"], /nulls\.arrow.*null/],
    [
      "NaN rows, by file, batch and row",
      ["train", at("nan.arrow"), "--latents", "4", "--k", "1"],
      /nan\.arrow, batch 0, row 2/,
    ],
    [
      "mismatched dimensions between files",
      ["train", corpus, at("narrow.arrow")],
      /corpus\.arrow|narrow\.arrow/,
    ],
    ["unknown option", ["train", corpus, "--latent", "9"], /unknown option '--latent'/],
    ["unknown command", ["trian", corpus], /unknown command 'trian'/],
    ["unknown architecture", ["train", corpus, "--arch", "vae"], /--arch.*topk/],
    ["not a number", ["train", corpus, "--batch", "many"], /--batch.*number/],
    [
      "k > latents",
      ["train", corpus, "--latents", "8", "--k", "9"],
      /k must be at most the number of latents \(8\), got 9/,
    ],
    ["an option of another architecture", ["train", corpus, "--l1", "3"], /--l1 is for --arch relu/],
    [
      "contradicting options",
      ["train", corpus, "--epochs", "2", "--examples", "100"],
      /--epochs and --examples contradict/,
    ],
    [
      "a model too large for one memory",
      ["train", corpus, "--latents", "90000000"],
      /GiB.*largest number of latents that fits is \d+/,
    ],
    [
      "widths that do not fit the corpus",
      ["train", corpus, "--arch", "autoencoder", "--widths", "5,2,5"],
      /--widths must begin with the corpus's dimension 12/,
    ],
    ["an unknown vector column", ["train", corpus, "--column", "layer9"], /layer9/],
    ["eval of something that is no model", ["eval", folder, corpus], /is not a model/],
    ["resume of something that is no run", ["train", "--resume", folder], /is not a run directory/],
    ["corpus info of a missing file", ["corpus", "info", at("nowhere.arrow")], /nowhere\.arrow/],
    [
      "corpus generate with more active features than there are",
      ["corpus", "generate", at("x.arrow"), "--d", "8", "--features", "4", "--rows", "9", "--active", "5"],
      /--active must be at most --features 4/,
    ],
    [
      "corpus generate of nothing named",
      ["corpus", "generate", at("x.arrow"), "--rows", "9"],
      /--preset \(toy-1,/,
    ],
    [
      "corpus generate of an unknown preset",
      ["corpus", "generate", at("x.arrow"), "--rows", "9", "--preset", "toy-9"],
      /no preset "toy-9"; there are: toy-1/,
    ],
    [
      "corpus generate at no scale",
      ["corpus", "generate", at("x.arrow"), "--rows", "9", "--preset", "toy-1", "--scale", "4/1"],
      /such as 1\/4/,
    ],
    [
      "corpus generate over an existing file",
      ["corpus", "generate", corpus, "--d", "8", "--features", "4", "--rows", "9"],
      /corpus\.arrow/,
    ],
  ];

  it.each(cases)("%s", async (_, args, message) => {
    const out = at("never");
    const before = readdirSync(folder);
    const { status, stdout, stderr } = await runCli(
      args[0] === "train" && !args.includes("--resume") ? [...args, "--out", out] : args,
    );
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(status).toBe(2);
    expect(existsSync(join(out, "config.json"))).toBe(false);
    expect(readdirSync(folder)).toEqual(before);
  });

  it("an option file that is not JSON, or has an unknown key", async () => {
    await writeFile(at("broken.json"), "{k: 3");
    await writeFile(at("unknown.json"), `{"latent": 3}`);
    const broken = await runCli(["train", corpus, "--config", at("broken.json")]);
    expect([broken.status, broken.stderr]).toEqual([2, expect.stringMatching(/broken\.json cannot be read/)]);
    const unknown = await runCli(["train", corpus, "--config", at("unknown.json")]);
    expect([unknown.status, unknown.stderr]).toEqual([2, expect.stringMatching(/unknown option --latent/)]);
  });
});

describe("train", () => {
  const small = ["--latents", "30", "--k", "3", "--batch", "64", "--seed", "1"];

  it("writes the run directory, and prints one JSON object on stdout with --json", async () => {
    const out = at("run");
    const { status, stdout } = await runCli([
      "train",
      corpus,
      ...small,
      "--epochs",
      "2",
      "--out",
      out,
      "--json",
    ]);
    expect(status).toBe(0);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    for (const key of [
      "runDirectory",
      "steps",
      "examples",
      "seconds",
      "activationsPerSecond",
      "loss",
      "mse",
      "fvu",
      "l0",
      "dead",
      "workers",
      "encoder",
    ]) {
      expect(result).toHaveProperty(key);
    }
    expect(readdirSync(out).sort()).toEqual([
      "checkpoints",
      "config.json",
      "metrics.jsonl",
      "model",
      "result.json",
    ]);
    const lines = (await readFile(join(out, "metrics.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, number>);
    expect(lines.at(-1)).toMatchObject({ step: result["steps"], examples: result["examples"] });
    expect(lines.at(-1)?.["loss"]).toBeLessThan(lines[0]?.["loss"] as number);
  });

  it("tells in how many steps rows were screened", async () => {
    const words = ["--arch", "relu", "--encoder", "screened", "--latents", "64", "--batch", "64"];
    const { stdout } = await runCli(["train", corpus, ...words, "--examples", "640", "--out", at("dense")]);
    // Half of all latents are active, which shows at the first step.
    expect(stdout).toMatch(/^screened encoder(: in no step|, in 1 of 10 steps)/m);
  });

  it("resumes a run with 256-bit vectors without them", async () => {
    const run = async (...words: string[]): Promise<unknown> =>
      JSON.parse((await runCli(["train", ...words, "--json"])).stdout);
    const out = at("wide");
    const begun = ["--examples", "640", "--stop-at", "5", "--out", out, "--experimental-wide-simd"];
    expect(await run(corpus, ...small, ...begun)).toMatchObject({ steps: 5, wideSimd: true });
    expect(await run("--resume", out, "--stop-at", "7")).toMatchObject({ steps: 7, wideSimd: true });
    const undone = await run("--resume", out, "--no-experimental-wide-simd");
    expect(undone).toMatchObject({ steps: 10, wideSimd: false });
  });

  const hugePages = hugePagesOf();
  const asks = process.getBuiltinModule("node:ffi") !== undefined;
  it.runIf(hugePages === "always" || (hugePages === "madvise" && asks))(
    "takes large pages, to the same bytes",
    async () => {
      const args = ["train", corpus, ...small, "--examples", "640", "--json"];
      const run = await runCli([...args, "--out", at("huge"), "--experimental-huge-pages"]);
      expect(JSON.parse(run.stdout)).toMatchObject({ steps: 10, hugePages: true });
      await runCli([...args, "--out", at("not-huge")]);
      expect((await stateBytes(at("huge"), 10)).equals(await stateBytes(at("not-huge"), 10))).toBe(true);
    },
  );

  it("takes options from --config, overridden by flags", async () => {
    await writeFile(at("options.json"), JSON.stringify({ latents: 20, k: 2, batch: 100, examples: 300 }));
    const out = at("configured");
    const { status } = await runCli([
      "train",
      corpus,
      "--config",
      at("options.json"),
      "--k",
      "4",
      "--out",
      out,
    ]);
    expect(status).toBe(0);
    const config = JSON.parse(await readFile(join(out, "config.json"), "utf8")) as {
      setup: { model: object };
    };
    expect(config.setup.model).toMatchObject({ latents: 20, k: 4 });
  });

  it.each([
    ["--expansion", "2", { expansion: 2 }],
    ["--epochs", "1", { epochs: 1 }],
    ["--init-from", at("run"), { init: "random", initFrom: at("run") }],
    ["--resample-at", "1", { resampleAt: [1] }],
  ])("%s takes the place of its alternative in --config", async (flag, value, expected) => {
    const file = at("alternatives.json");
    const resampling = { arch: "relu", l1: 1, decoder: "unit", resampleEvery: 2, resampleUntil: 4 };
    const options = flag === "--resample-at" ? resampling : { k: 3, init: "data" };
    await writeFile(file, JSON.stringify({ latents: 30, batch: 100, examples: 300, ...options }));
    const out = at(`instead-of${flag}`);
    const args = ["train", corpus, "--config", file, flag, value, "--stop-at", "2", "--out", out];
    expect(await runCli(args)).toMatchObject({ status: 0 });
    // Once more from that run's own, which resolved the options.
    const again = [
      "train",
      corpus,
      "--config",
      join(out, "config.json"),
      "--latents",
      "30",
      "--examples",
      "300",
    ];
    const second = `${out}-again`;
    expect(await runCli([...again, "--stop-at", "2", "--out", second])).toMatchObject({ status: 0 });
    const optionsOf = async (run: string): Promise<object> => (await readRunConfig(run)).options;
    expect(await optionsOf(out)).toMatchObject(expected);
    expect(await optionsOf(second)).toMatchObject({ latents: 30, examples: 300 });
  });

  it.each([
    ["relu", ["--l1", "0.5", "--no-center"]],
    ["batch-topk", ["--k", "3", "--aux-k", "auto", "--normalize", "layer-norm"]],
    ["autoencoder", ["--widths", "12-4-12"]],
  ])("takes the options of another run from its config.json (%s)", async (arch, flags) => {
    const [first, second] = [at(`${arch}-first`), at(`${arch}-second`)];
    const options = ["--arch", arch, ...flags, "--batch", "100", "--examples", "500", "--stop-at", "5"];
    if (arch !== "autoencoder") options.push("--latents", "20");
    expect((await runCli(["train", corpus, ...options, "--out", first])).status).toBe(0);
    const config = join(first, "config.json");
    expect((await runCli(["train", corpus, "--config", config, "--out", second])).status).toBe(0);
    expect((await readRunConfig(second)).setup).toEqual((await readRunConfig(first)).setup);
    expect(existsSync(join(second, "result.json"))).toBe(true);
  });

  it("refuses a run directory that is taken", async () => {
    const { status, stderr } = await runCli(["train", corpus, ...small, "--out", at("run")]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/is not empty.*--resume/)]);
  });

  it("says that a complete run has nothing to resume, and gives its result again", async () => {
    const { status, stdout, stderr } = await runCli(["train", "--resume", at("run"), "--json"]);
    expect([status, stderr]).toEqual([0, expect.stringMatching(/nothing to resume/)]);
    expect(JSON.parse(stdout)).toEqual(await readResult(at("run")));
  });

  it("refuses to change the training of a resumed run", async () => {
    const { status, stderr } = await runCli(["train", "--resume", at("run"), "--lr", "0.1"]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/--lr cannot change/)]);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "finishes the step at %s, saves, exits %i, and resumes to the same bytes",
    async (signal, expected) => {
      const long = ["--epochs", "40", "--log-every", "1"];
      const whole = at(`whole-${signal}`);
      expect((await runCli(["train", corpus, ...small, ...long, "--out", whole])).status).toBe(0);
      const stopped = at(`stopped-${signal}`);
      let sent = false;
      const interrupted = await runCli(
        ["train", corpus, ...small, ...long, "--out", stopped],
        (text, kill) => {
          if (!sent && / step \d/.test(text)) {
            sent = true;
            kill(signal);
          }
        },
      );
      expect(interrupted.status).toBe(expected);
      expect(interrupted.stdout).toMatch(/continue with: sparseloom train --resume/);
      expect(readdirSync(stopped)).not.toContain("model");
      const resumed = await runCli(["train", "--resume", stopped, "--workers", "1", "--json"]);
      expect(resumed.status).toBe(0);
      const { steps } = JSON.parse(resumed.stdout) as { steps: number };
      expect((await stateBytes(stopped, steps)).equals(await stateBytes(whole, steps))).toBe(true);
    },
  );

  it("goes back to the checkpoint before when the newest is damaged", async () => {
    const out = at("damaged");
    const common = [...small, "--epochs", "10", "--checkpoint-every", "50", "--out", out];
    expect((await runCli(["train", corpus, ...common, "--stop-at", "170"])).status).toBe(0);
    expect(readdirSync(join(out, "checkpoints")).sort()).toEqual(["100", "150", "170"]);
    await truncate(join(out, "checkpoints", "170", "state.safetensors"), 1000);
    const { status, stderr } = await runCli(["train", "--resume", out]);
    expect([status, stderr]).toEqual([
      0,
      expect.stringMatching(/170 cannot be used: state\.safetensors does not match/),
    ]);
  });

  it("refuses to resume on another corpus", async () => {
    const moving = at("moving.arrow");
    await writeSmallCorpus(moving, 500);
    const out = at("moved");
    await runCli(["train", moving, ...small, "--epochs", "9", "--stop-at", "5", "--out", out]);
    await writeFile(moving, await readFile(corpus));
    const { status, stderr } = await runCli(["train", "--resume", out]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/fingerprint differs/)]);
  });

  it("stops with an error when the loss is no longer a number, and saves no model", async () => {
    const out = at("diverged");
    const { status, stderr } = await runCli([
      "train",
      corpus,
      "--arch",
      "relu",
      "--latents",
      "30",
      "--batch",
      "64",
      "--lr",
      "1e30",
      "--lr-decay",
      "0",
      "--out",
      out,
    ]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/the loss of step \d+ is (NaN|Infinity) .*corpus\.arrow, batch 0/),
    ]);
    expect(readdirSync(out)).not.toContain("model");
  });
});

describe("eval", () => {
  it("measures an exported model on raw rows as training measured it on scaled ones", async () => {
    const { status, stdout } = await runCli(["eval", at("run"), corpus, "--split", "held-out", "--json"]);
    expect(status).toBe(0);
    const found = JSON.parse(stdout) as { fvu: number; l0: number; rows: number; warnings: string[] };
    const result = await readResult(at("run"));
    expect(found.rows).toBe(result?.heldOut?.rows);
    expect(found.l0).toBeCloseTo(result?.heldOut?.l0 as number, 2);
    expect(found.fvu).toBeCloseTo(result?.heldOut?.fvu as number, 2);
    expect(found.warnings).toEqual([]);
  });

  it("refuses a corpus of other dimensions", async () => {
    const { status, stderr } = await runCli(["eval", at("run"), at("narrow.arrow")]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/reads 12 dimensions.*has 7/)]);
  });

  it("measures a deep autoencoder, too", async () => {
    const out = at("deep");
    const args = [
      "train",
      corpus,
      "--arch",
      "autoencoder",
      "--widths",
      "12,24,6,24,12",
      "--output-activation",
      "linear",
      "--epochs",
      "20",
      "--batch",
      "64",
      "--out",
      out,
    ];
    expect((await runCli(args)).status).toBe(0);
    const { stdout } = await runCli(["eval", out, corpus, "--split", "held-out", "--json"]);
    const { fvu } = JSON.parse(stdout) as { fvu: number };
    expect(fvu).toBeCloseTo((await readResult(out))?.heldOut?.fvu as number, 3);
    expect(fvu).toBeLessThan(0.8);
  });
});

describe("demo", () => {
  it("prints one JSON object of both of its steps with --json", async () => {
    const flags = ["--examples", "2560", "--out", at("demo"), "--json"];
    const { status, stdout } = await runCli(["demo", ...flags]);
    expect(status).toBe(0);
    const inspection = JSON.parse(await readFile(at("demo/report/features.json"), "utf8")) as unknown;
    expect(JSON.parse(stdout)).toEqual({ training: await readResult(at("demo")), inspection });
  });
});

describe("corpus", () => {
  it("corpus split says which columns it does not copy, and how to leave out one with nulls", async () => {
    const split = (name: string): Promise<CliResult> =>
      runCli(["corpus", "split", foreign(name), "--held-out", "0.3", "--out", at(name), "--json"]);
    const { status, stdout, stderr } = await split("unknown-types.file.arrow");
    const line = /^columns that are not copied: "views" \(type ListView<Int32> is not read as a label\), /;
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { warnings: [expect.stringMatching(line)] }]);
    expect(stderr).toMatch(/^warning: columns that are not copied: [^\n]+\n$/);
    expect(await split("float32.file.arrow")).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /a label is null, which is not written; pack the corpus without the column first \(sparseloom corpus pack --labels\)\n$/,
      ) as string,
    });
  });

  it("pack and split write files that train as the corpus does", async () => {
    const packed = at("packed.arrow");
    const made = await runCli(["corpus", "pack", packed, "synth:toy-1@4000", "--type", "float16", "--json"]);
    expect(made).toMatchObject({ status: 0 });
    expect(JSON.parse(made.stdout)).toMatchObject({ rows: 4000, sources: 1, resumedRows: 0 });
    const split = await runCli(["corpus", "split", packed, "--held-out", "0.1", "--out", at("split")]);
    expect(split).toMatchObject({ status: 0, stdout: expect.stringMatching(/train\.arrow: 3,\d+ rows/) });
    await using part = await openCorpus([at("split/held-out.arrow")]);
    const held = await countRowsOf(packed, 0.1);
    expect(part.rows).toBe(held);
    for (const [args, line] of [
      [["corpus", "pack", packed, "synth:toy-1@9"], /^error: .* \(--overwrite\)\n$/],
      [["corpus", "split", packed, "--out", at("split")], /^error: .* \(--overwrite\)\n$/],
      [
        ["corpus", "split", "synth:toy-1@9", "--held-out", "0.01", "--out", at("no-part")],
        /^error: no row would be in the part "held-out"; take another share \(--held-out\)\n$/,
      ],
      [["corpus", "pack", at("none.arrow"), at("nothing-*.npy")], /^error: .*\n$/],
    ] as const) {
      expect(await runCli(args)).toMatchObject({ status: 2, stderr: expect.stringMatching(line) });
    }
  });

  it("pack and split write files of several columns that a crosscoder trains on", async () => {
    const layers = at("layers.arrow");
    await writePairedColumns(layers, 1500);
    const columns = ["--columns", "before,after"];
    const packed = at("packed-layers.arrow");
    const made = await runCli(["corpus", "pack", packed, layers, ...columns, "--type", "float16"]);
    expect(made).toMatchObject({ status: 0, stdout: expect.stringContaining("1,500 rows from one source") });
    const split = ["corpus", "split", packed, ...columns, "--held-out", "0.2", "--out", at("layers")];
    expect(await runCli(split)).toMatchObject({ status: 0, stderr: "" });
    const shape = ["--latents", "32", "--k", "3", "--batch", "128", "--workers", "1"];
    const parts = [at("layers/train.arrow"), at("layers/held-out.arrow")];
    const { status, stdout } = await runCli([
      "train",
      ...parts,
      ...columns,
      ...shape,
      "--out",
      at("cross"),
      "--json",
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ steps: 12 });
    const both = await runCli(["corpus", "pack", at("none.arrow"), layers, ...columns, "--column", "before"]);
    expect(both).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^error: --column and --columns .*\n$/),
    });
  });

  it("generate --preset writes the rows of the preset and the whole truth beside them", async () => {
    const path = at("preset.arrow");
    const args = ["--preset", "synthsaebench-16k", "--scale", "1/64", "--rows", "300"];
    expect((await runCli(["corpus", "generate", path, ...args])).status).toBe(0);
    const { tensors, metadata } = decodeSafetensors(await readFile(`${path}.features.safetensors`));
    const known = await openKnownFeatures("synthsaebench-16k:1/64");
    const { options, probability } = known.model;
    expect(tensors.get("directions")?.shape).toEqual([256, 96]);
    expect(tensors.get("directions")?.data).toEqual(known.directions);
    expect(tensors.get("parent")?.data).toEqual(known.model.parent);
    expect(tensors.get("probability")?.data).toEqual(Float32Array.from(probability));
    expect(metadata.get("preset")).toBe("synthsaebench-16k");
    expect(JSON.parse(metadata.get("generator") ?? "")).toEqual(options);
    await using corpus = await openCorpus([path]);
    const read = new Float32Array(300 * 96);
    await using stream = new RowStream(corpus, { seed: 0, shuffle: "none" });
    expect(await stream.fill(read, 300)).toBe(300);
    const expected = new Float32Array(300 * 96);
    known.fill(expected, 0, 300);
    expect(read).toEqual(expected);
  });

  it("generate and split write nothing where one of their files is there, without --overwrite", async () => {
    const path = at("again.arrow");
    const features = `${path}.features.safetensors`;
    await writeFile(features, "of another corpus");
    const shape = ["--d", "4", "--features", "4", "--rows", "50"];
    expect(await runCli(["corpus", "generate", path, ...shape])).toEqual({
      status: 2,
      stdout: "",
      stderr: `error: ${features}: the file exists; choose another name, or ask to overwrite it (--overwrite)\n`,
    });
    expect([existsSync(path), await readFile(features, "utf8")]).toEqual([false, "of another corpus"]);
    expect((await runCli(["corpus", "generate", path, ...shape, "--overwrite"])).status).toBe(0);
    expect(decodeSafetensors(await readFile(features)).tensors.has("directions")).toBe(true);

    const parts = at("parts");
    await mkdir(parts);
    await writeFile(join(parts, "train.arrow"), "another's");
    const split = await runCli(["corpus", "split", path, "--held-out", "0.4", "--out", parts]);
    expect([split.status, readdirSync(parts)]).toEqual([2, ["train.arrow"]]);
  });

  it("generate writes a corpus that info describes", async () => {
    const path = at("made.arrow");
    const made = await runCli([
      "corpus",
      "generate",
      path,
      "--d",
      "16",
      "--features",
      "8",
      "--rows",
      "500",
      "--active",
      "2",
      "--json",
    ]);
    expect(made.status).toBe(0);
    const features = `${path}.features.safetensors`;
    expect(JSON.parse(made.stdout)).toMatchObject({ path, rows: 500, dIn: 16, features });
    expect(existsSync(features)).toBe(true);
    const { stdout } = await runCli(["corpus", "info", path, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      rows: 500,
      dIn: 16,
      type: "float32",
      statistics: { exact: true },
      windows: { shuffle: "window", blocksPerWindow: 1, rowsPerWindow: 500, windowsPerEpoch: 1 },
    });
    const text = await runCli(["corpus", "info", path]);
    expect(text.stdout).toMatch(/500 rows × 16 dimensions, float32/);
    expect(text.stdout).toMatch(/^shuffle +all 500 rows \(0\.0 MB\) together$/m);
  });
});
