import { defineConfig } from "vitest/config";

export default defineConfig({
  // No test is about time: on a busy machine the default of 5 s would fail what is right.
  test: { testTimeout: 60_000, include: ["src/**/*.test.ts", "test/**/*.test.ts", "check/**/*.test.ts"] },
});
