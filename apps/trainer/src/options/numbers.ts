/** Kinds of numbers that several options are. */
import { z } from "zod";

/** Whole numbers of at least `least`. */
export const whole = (least: number): z.ZodNumber => z.number().int().min(least);
