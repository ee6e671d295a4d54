import { describe, expect, it } from "vitest";
import { RequestError } from "../errors.ts";
import { parseExamples, readExamples } from "./input.ts";

const parse = (text: string) => parseExamples(text, "--input x.csv");

describe("parseExamples", () => {
  const rows = [
    [1, -0.5],
    [0.002, 4],
  ];

  it.each([
    ["plain numbers", "1,-0.5\n2e-3,4\n"],
    ["column titles", "a,b\n1,-0.5\n2e-3,4"],
    ["empty lines, spaces, Windows line ends, a byte order mark", "\uFEFF1, -0.5\r\n\r\n 2e-3 ,4\r\n,\r\n"],
  ])("reads %s", (_, text) => {
    expect(parse(text)).toEqual({ rows, labels: [] });
  });

  it.each([
    ["names in the first column", "cat,1,-0.5\ndog,2e-3,4"],
    ["names and titles", "token,a,b\ncat,1,-0.5\ndog,2e-3,4"],
  ])("reads %s", (_, text) => {
    expect(parse(text)).toEqual({ rows, labels: ["cat", "dog"] });
  });

  it.each([
    ["", "--input x.csv has no numbers: give one example per line, as in 1,0.5,-2"],
    ["a,b\n", "--input x.csv has no numbers: give one example per line, as in 1,0.5,-2"],
    ["cat\ndog\n1\n", '--input x.csv, line 2, field 1: expected a finite number, got "dog"'],
    ["1,2\n\n3\n", "--input x.csv, line 3: expected 2 numbers as in line 1, got 1"],
    ["t,a,b\ncat,1,2\ndog,3,4,5\n", "--input x.csv, line 3: expected 2 numbers as in line 2, got 3"],
    ["1,2\n3,x\n", '--input x.csv, line 2, field 2: expected a finite number, got "x"'],
    ["cat,1\ndog,Infinity\n", '--input x.csv, line 2, field 2: expected a finite number, got "Infinity"'],
    ["1,1e39\n", '--input x.csv, line 1, field 2: expected a finite number, got "1e39"'],
    ["1,\n", '--input x.csv, line 1, field 2: expected a finite number, got ""'],
    [
      "1\n".repeat(65),
      "--input x.csv has 65 examples of 1 numbers: at most 64 of 64 are worked out by hand; use `sparseloom train` for more",
    ],
  ])("refuses %j in one line", (text, message) => {
    expect(() => parse(text)).toThrow(new RequestError(message));
  });

  it("names a file that is not there", async () => {
    await expect(readExamples("nowhere.csv")).rejects.toThrow(/^--input nowhere.csv cannot be read: ENOENT/);
  });
});
