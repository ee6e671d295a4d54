import { CorpusError } from "@sparseloom/data";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { hintOf, hintOfWorker } from "./errors.ts";

describe("the hint after an error of the packages", () => {
  it("names the flag of the option that it is about, where the command has it", () => {
    const error = new CorpusError("empty", "no row", { option: "heldOut" });
    const split = new Command("split").option("--held-out <share>");
    expect(hintOf(error, split)).toBe(" (--held-out)");
    expect(hintOf(error, new Command("info").option("--json"))).toBe("");
    expect(hintOf(error, undefined)).toBe("");
    expect(hintOf(new CorpusError("empty", "no row"), split)).toBe("");
  });

  it("names what helps in the command, where that is another flag", () => {
    const error = new CorpusError("unsupported", "not read", { option: "documentColumn" });
    expect(hintOf(error, new Command("eval").option("--split <split>"))).toBe(" (--split all)");
    expect(hintOf(error, new Command("split").option("--document-column <name>"))).toBe(
      " (--document-column)",
    );
  });

  it("names the command that helps, by the kind of the error and not by its words", () => {
    expect(hintOf(new CorpusError("not-packed", "is a NumPy array"), undefined)).toBe(
      " (sparseloom corpus pack)",
    );
    expect(hintOf(new CorpusError("not-arrow", "convert it first"), undefined)).toBe("");
    const nulls = new CorpusError("nulls", "a label is null", { option: "labels" });
    expect(hintOf(nulls, new Command("split"))).toBe(" (sparseloom corpus pack --labels)");
  });

  it("is none where the error is another one", () => {
    expect(hintOf(new Error("use a smaller mini-batch"), new Command("train").option("--batch <n>"))).toBe(
      "",
    );
    expect(hintOf("no error", undefined)).toBe("");
  });
});

it("an error of a worker, which has lost its class on the way, has its hint by its text", () => {
  expect(hintOfWorker("BatchTopK cannot order this mini-batch: 9 are equal; use a smaller mini-batch")).toBe(
    " (--batch)",
  );
  expect(hintOfWorker("anything else")).toBe("");
});
