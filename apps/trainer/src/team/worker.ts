/** A worker thread: joins the team once and walks through the stages of every step until the team is stopped. */
import { createKernels, createProgram, openArena } from "@sparseloom/core";
import { AbortedError, meet, waitWhile } from "./barrier.ts";
import { JOB_RING, type JoinTask, PROGRESS_STRIDE, STOPPED, TEAM } from "./protocol.ts";

/** The task that piscina runs, once per worker for the whole run. Returns when the team is stopped or aborted. */
export function join(task: JoinTask): void {
  const { rank, workers, models, kernels, wideSimd, spin } = task;
  const seats = models.map(({ plan, memory }) => {
    const arena = openArena(plan, memory.buffer);
    const program = createProgram(arena, createKernels(kernels, plan, memory, { wideSimd }), rank);
    return { team: arena.team, program, slots: plan.slots, jobs: 0 };
  });
  const { team } = seats[0];
  const progress = TEAM.progress + PROGRESS_STRIDE * rank;

  try {
    for (let job = 0; ; job++) {
      // The main thread has written the mini-batch before it moved this word on.
      waitWhile(team, TEAM.published, job, spin);
      if (Atomics.load(team, TEAM.published) === STOPPED) return;
      const seat = seats[Atomics.load(team, TEAM.models + (job % JOB_RING))];
      const { program } = seat;
      program.begin(seat.jobs++ % seat.slots);
      for (let stage = program.next(); stage !== undefined; stage = program.next()) {
        const { blocks } = stage;
        for (
          let block = Atomics.add(team, TEAM.ticket, 1);
          block < blocks;
          block = Atomics.add(team, TEAM.ticket, 1)
        ) {
          stage.run(block);
          Atomics.add(team, progress, 1);
        }
        meet(team, workers, spin, stage);
      }
      if (rank === 0) {
        Atomics.store(team, TEAM.completed, job + 1);
        Atomics.notify(team, TEAM.completed);
      }
    }
  } catch (error) {
    if (!(error instanceof AbortedError)) throw error;
  }
}
