import { expect, it } from "vitest";
import * as interop from "./index.ts";

it("exports exactly these names", () => {
  expect(Object.keys(interop).sort()).toEqual([
    "SAE_LENS_VERSION",
    "SaeLensError",
    "crosscoderParts",
    "exportSaeLens",
    "saeLensParts",
  ]);
});
