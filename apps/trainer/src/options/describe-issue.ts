/** What is wrong with an option, in one line. */
import type { z } from "zod";

/** The flag of an option: camelCase to kebab-case. */
export function flagOf(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** One line: the option, what would be right, and what was given. */
export function describeIssue(error: z.ZodError, request: unknown): string {
  const [issue] = error.issues;
  if (issue === undefined) return error.message;
  if (issue.code === "unrecognized_keys") return `unknown option ${issue.keys.map(flagOf).join(", ")}`;
  const [key, entry] = issue.path;
  const given = issue.path.reduce<unknown>(
    (value, name) => (value as Record<PropertyKey, unknown> | undefined)?.[name],
    request,
  );
  const option = key === undefined ? "options" : flagOf(String(key));
  const place = entry === undefined ? option : `${option}, entry ${Number(entry) + 1},`;
  return `${place} must be ${expectationOf(issue)}, got ${JSON.stringify(given)}`;
}

function expectationOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "too_small":
      if (issue.origin === "string") return "a text that is not empty";
      if (issue.origin === "array") return `a list of at least ${issue.minimum}`;
      return `${issue.inclusive === false ? "above" : "at least"} ${issue.minimum}`;
    case "too_big":
      return `${issue.inclusive === false ? "below" : "at most"} ${issue.maximum}`;
    case "invalid_type":
      return issue.expected === "int" ? "a whole number" : `a ${issue.expected}`;
    case "invalid_value":
      return issue.values.map(String).join(" or ");
    case "invalid_union":
      // The options that may be of two kinds.
      if (issue.path[0] === "auxK") return "a whole number of at least 1, or auto";
      return issue.path[0] === "lr" ? "a number above 0, or auto" : "a token's id or text";
    case "unrecognized_keys":
    case "custom":
    case "invalid_element":
    case "invalid_format":
    case "invalid_key":
    case "not_multiple_of":
      // No option has such a rule; should one get it, zod's own words are better than none.
      return `something else (${issue.message})`;
  }
}
