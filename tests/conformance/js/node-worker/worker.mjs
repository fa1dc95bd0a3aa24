// An agent as anybody writes one with @livekit/agents: it says one sentence, a tone of `metadata` Hz instead of a
// voice, and leaves. Started as `node worker.mjs dev`; AGENT_NAME empty asks for automatic dispatch.
import { ReadableStream } from 'node:stream/web';
import { fileURLToPath } from 'node:url';

import { ServerOptions, cli, defineAgent, voice } from '@livekit/agents';
import { AudioFrame } from '@livekit/rtc-node';

const RATE = 48_000;
const FRAME = RATE / 50;
const SECONDS = 2;

function tone(hz) {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= SECONDS * RATE) return controller.close();
      const samples = Int16Array.from({ length: FRAME }, (_, n) => 9_830 * Math.sin((2 * Math.PI * hz * (at + n)) / RATE));
      at += FRAME;
      controller.enqueue(new AudioFrame(samples, RATE, 1, FRAME));
    },
  });
}

export default defineAgent({
  entry: async (ctx) => {
    await ctx.connect();
    const session = new voice.AgentSession({ vad: null });
    await session.start({ agent: new voice.Agent({ instructions: 'Say one sentence.' }), room: ctx.room });
    const hz = Number(ctx.job.metadata || 660);
    await session.say(`A tone of ${hz} hertz.`, { audio: tone(hz) }).waitForPlayout();
    ctx.shutdown('said it');
  },
});

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  cli.runApp(
    new ServerOptions({
      agent: fileURLToPath(import.meta.url),
      agentName: process.env.AGENT_NAME,
      host: '127.0.0.1',
      loadFunc: async () => 0, // the machine under test may be busy with the test
    }),
  );
}
