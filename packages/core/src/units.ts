/**
 * Hyper-parameters only mean something with the scaling of the rows. For rows x′ = s·x the same optimum, scaled, belongs
 * to: λ of a penalty that is linear in f times s, of one that counts times s² (as the squared error), thresholds and
 * their window times s, the slope of tanh by s. AuxK's term is relative to the error already. The norm of all gradients
 * has no one power of s (gradients of matrices go with s², those of biases and thresholds with s): where it is clipped, it
 * is measured in the units that its limit is meant in.
 */
import { ARCHITECTURES } from "./architectures/index.ts";
import type { JumpSetup, ModelSetup, Setup } from "./setup.ts";

/** How λ goes with the scale s of the rows, as a power of s: the penalty's share of the loss stays the same. */
function penaltyPower(model: ModelSetup): 1 | 2 {
  return model.kind === "sparse" && ARCHITECTURES[model.architecture].penalty === "l0" ? 2 : 1;
}

function convertJump(jump: JumpSetup, ratio: number): JumpSetup {
  return {
    ...jump,
    bandwidth: jump.bandwidth * ratio,
    initialThreshold: jump.initialThreshold * ratio,
    tanhScale: jump.tanhScale / ratio,
  };
}

/**
 * A setup whose hyper-parameters were meant for rows of one scale, for rows `ratio` times as long. Learning rates stay:
 * Adam's steps do not depend on the loss's scale, but biases and thresholds then need `ratio` times as many of them.
 */
export function convertUnits(setup: Setup, ratio: number): Setup {
  const { model, training } = setup;
  const { l1Coefficient, preActCoefficient, clipNorm, clipUnits = 1 } = training;
  const peak = l1Coefficient.peak * ratio ** penaltyPower(model);
  const jump = model.kind === "sparse" ? model.jump : undefined;
  return {
    model: jump === undefined ? model : ({ ...model, jump: convertJump(jump, ratio) } as ModelSetup),
    training: {
      ...training,
      l1Coefficient: { ...l1Coefficient, peak },
      ...(preActCoefficient === undefined ? {} : { preActCoefficient: preActCoefficient * ratio }),
      ...(clipNorm === undefined ? {} : { clipUnits: clipUnits * ratio }),
    },
  };
}
