/** The shell around the model: one LiveKit room, what the user does to it, and the way back into it. */
import { DisconnectReason, LogLevel, Room, setLogLevel } from "livekit-client";
import { Access, type Guest } from "./access";
import type { ControlPlane, Standing } from "./control";
import { received, sidOf } from "./engine";
import { type Memory, recall, remember } from "./memory";
import type { ConnectFailure, Happened, Model } from "./model";
import { browserPage, type Page } from "./page";
import { RECONNECT_POLICY } from "./retry";
import { Returning } from "./returning";
import { CHAT_TOPIC, listen, look } from "./room-events";
import { Store } from "./store";
import { claimsOf } from "./token";
import type { Line } from "./transcript";
import { Witness } from "./witness";

/** Milliseconds between two looks at the room and at what arrived. */
const BEAT_MS = 400;
/** Milliseconds between two beats that mean that the machine slept. */
const SLEPT_MS = 5_000;
/** Milliseconds between two questions while the page waits for something that the control plane would tell. */
const ASK_EVERY_MS = 5_000;
/** Milliseconds after the end until this page leaves by itself, should the room outlive it. */
const LEAVE_AFTER_MS = 5_000;
/** How often the end is asked for before the user just leaves. */
const END_TRIES = 3;

export interface SessionOptions {
  /** Who joins, and in which room (null: a new one). Left out: the room is connected by somebody else. */
  readonly join?: Guest & { readonly room: string | null; readonly microphone: Microphone };
  /** The LiveKit room; one is made if left out. */
  readonly livekit?: Room;
  /** Null: there is none, and nobody is asked or told anything. */
  readonly control?: ControlPlane | null;
  /** Where the transcript outlives a reload; null: nowhere. */
  readonly memory?: Memory | null;
  /** Whether to write down the conversation; then no other component may take LiveKit's transcription streams. */
  readonly transcript?: boolean;
  readonly store?: Store;
  readonly clock?: () => number;
  readonly page?: Page;
}

export interface Microphone {
  readonly on: boolean;
  readonly deviceId: string | null;
}

export class Session {
  readonly room: Room;
  readonly store: Store;
  readonly #owns: boolean;
  readonly #control: ControlPlane | null;
  readonly #memory: Memory | null;
  readonly #transcript: boolean;
  readonly #clock: () => number;
  readonly #page: Page;
  readonly #access: Access;
  readonly #witness: Witness;
  readonly #returning: Returning;
  readonly #stops: (() => void)[] = [];
  #microphoneWanted: boolean;
  #joining: Promise<void> | null = null;
  #leaving: ReturnType<typeof setTimeout> | undefined;
  #goesAstray = false;
  #beatAt = 0;
  #askedAt = 0;

  constructor(options: SessionOptions) {
    const { join, clock = Date.now } = options;
    if (join !== undefined) setLogLevel(LogLevel.silent); // its log may carry the token
    const deviceId = join?.microphone.deviceId ?? null;
    this.room =
      options.livekit ??
      new Room({
        reconnectPolicy: RECONNECT_POLICY,
        ...(deviceId === null ? {} : { audioCaptureDefaults: { deviceId } }),
      });
    this.store = options.store ?? new Store();
    this.#owns = join !== undefined;
    this.#control = options.control ?? null;
    this.#memory = options.memory ?? null;
    this.#transcript = options.transcript ?? this.#owns;
    this.#clock = clock;
    this.#page = options.page ?? browserPage;
    this.#microphoneWanted = join?.microphone.on ?? false;
    this.#access = new Access(this.room, join ?? null, clock);
    this.#witness = new Witness(clock, async (evidence) => {
      // A session that nobody has entered yet is not stored anywhere.
      const id = this.store.model.sid === null ? null : this.store.model.session;
      const { token } = this.#access;
      return this.#control !== null && id !== null && token !== null && this.#control.tell(id, token, evidence);
    });
    this.#returning = new Returning(
      {
        model: () => this.store.model,
        tell: this.#tell,
        ask: () => this.#ask(),
        join: (fresh) => {
          if (fresh) this.#access.drop();
          return this.#join(true);
        },
        possible: () => this.#access.possible,
        leave: () => this.#leaveAstray(),
        metadata: () => this.room.metadata,
      },
      clock,
    );
    if (join?.room != null) this.#recall(join.room);
  }

  readonly subscribe = (subscriber: () => void): (() => void) => this.store.subscribe(subscriber);
  readonly snapshot = (): Model => this.store.snapshot();

  /** Begin to watch the room; and join it, unless somebody else does. */
  open(): void {
    if (this.#stops.length > 0) return;
    const beat = setInterval(() => void this.#beat(), BEAT_MS);
    this.#beatAt = this.#clock();
    this.#stops.push(
      () => clearInterval(beat),
      () => clearTimeout(this.#leaving),
      this.store.subscribe(this.#onChange),
      listen(this.room, this.#tell, { transcript: this.#transcript, clock: this.#clock }),
      this.#watchPage(),
      () => this.#returning.stop(),
    );
    if (this.room.state === "connected") {
      this.#tell({ type: "Connected", at: this.#clock(), sid: sidOf(this.room) });
      look(this.room, this.#tell, this.#clock());
    } else if (this.#owns && this.store.model.view.state !== "ended") {
      // A join that `close` called off may still be on its way out.
      void Promise.resolve(this.#joining).then(() => this.#join(false));
    }
  }

  /** Stop watching; and leave the room, unless somebody else joined it. Can be opened again. */
  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
    if (this.#owns) void this.room.disconnect();
  }

  /** Turn the microphone on or off. Never rejects. */
  async setMicrophone(on: boolean): Promise<void> {
    this.#microphoneWanted = on;
    try {
      await this.room.localParticipant.setMicrophoneEnabled(on);
      this.#tell({ type: "MicrophoneChanged", on });
    } catch {
      this.#tell({ type: "MicrophoneFailed" });
    }
  }

  /** Use another microphone. Never rejects. */
  async chooseMicrophone(deviceId: string): Promise<void> {
    try {
      await this.room.switchActiveDevice("audioinput", deviceId);
    } catch {
      this.#tell({ type: "MicrophoneFailed" });
    }
  }

  /** Go on without a microphone. */
  typeInstead(): void {
    this.#microphoneWanted = false;
    this.#tell({ type: "TypingChosen" });
  }

  /** Say something in writing. Resolves to whether it was sent. */
  async say(text: string): Promise<boolean> {
    try {
      const { id } = await this.room.localParticipant.sendText(text, { topic: CHAT_TOPIC });
      const line: Line = { id, speaker: "user", text, final: true, typed: true };
      this.#tell({ type: "LineChanged", at: this.#clock(), line });
      return true;
    } catch {
      return false;
    }
  }

  /** Let the browser play sound; call it from a user's gesture. */
  async startAudio(): Promise<void> {
    await this.room.startAudio().catch(() => undefined);
  }

  /** Try again what the view says is blocked. */
  readonly retry = async (): Promise<void> => {
    const { view, link } = this.store.model;
    if (view.state !== "blocked") return;
    if (view.cause === "microphone") return this.setMicrophone(true);
    if (link.is === "lost") return this.#returning.hurry();
    if (view.cause === "token") this.#access.drop();
    await this.#join(false);
  };

  /** End the session, as its user; where the policy lets others do that, only leave it. */
  readonly end = async (): Promise<void> => {
    if (this.store.model.view.state === "ended") return;
    this.#tell({ type: "EndRequested", at: this.#clock() });
    const reason = await this.#askForEnd();
    if (reason === null) return;
    await this.room.disconnect();
    this.#tell({ type: "Left", at: this.#clock(), reason });
  };

  /** Resolves to null when the session ends, else to why the user leaves it all the same. */
  async #askForEnd(): Promise<"user_ended" | "user_left" | null> {
    const { token } = this.#access;
    const { session: id } = this.store.model;
    for (let tries = 0; this.#control !== null && id !== null && token !== null && tries < END_TRIES; tries++) {
      const answer = await this.#control.end(id, token);
      if (answer.is === "known") {
        this.#tell({ type: "RecordSeen", at: this.#clock(), record: answer.record, writer: "", fresh: true });
        return null;
      }
      if (answer.is === "refused") return "user_left";
      if (answer.is === "unknown") break;
    }
    return "user_ended";
  }

  readonly #tell = (happened: Happened): void => {
    if (happened.type === "Connected" || happened.type === "ConnectionRestored") this.#onConnected(happened.type);
    const byOther = !this.#owns && !this.#goesAstray && happened.type === "Disconnected";
    if (byOther && happened.reason === DisconnectReason.CLIENT_INITIATED) {
      // Whoever connected this room has left it, which is not for us to undo.
      this.store.tell({ type: "Left", at: happened.at, reason: "user_left" });
    } else this.store.tell(happened);
  };

  #join(quiet: boolean): Promise<void> {
    this.#joining ??= this.#joinOnce(quiet).finally(() => {
      this.#joining = null;
    });
    return this.#joining;
  }

  async #joinOnce(quiet: boolean): Promise<void> {
    if (this.#isConnected()) return;
    this.#tell({ type: "ConnectionBegun", at: this.#clock(), quiet });
    let failure = await this.#enter();
    if (failure === "token") {
      // Expired, or of a key that is no longer used: a new one may do.
      this.#access.drop();
      failure = await this.#enter();
    }
    if (failure !== null) {
      this.#witness.note("connect_failed", { failure });
      this.#tell({ type: "ConnectionFailed", at: this.#clock(), failure });
    } else if (this.#microphoneWanted && this.#isConnected()) await this.setMicrophone(true);
  }

  async #enter(): Promise<ConnectFailure | null> {
    const admission = await this.#access.admission(this.store.model.room);
    if (admission.is === "failed") return admission.failure;
    if (admission.is === "ended") {
      const { record } = admission;
      if (record === null) return "not_found";
      this.#tell({ type: "RecordSeen", at: this.#clock(), record, writer: "", fresh: true });
      return null;
    }
    this.#name(admission.credentials.token, admission.room);
    // Closed, or the end was asked for, while the token was on its way.
    if (this.#stops.length === 0 || this.store.model.endRequested) return null;
    return this.#access.enter(admission.credentials);
  }

  #name(token: string, room: string | null): void {
    const claims = claimsOf(token);
    const named = room ?? claims.room;
    if (named !== null) this.#tell({ type: "RoomNamed", room: named, session: claims.session });
  }

  #recall(room: string): void {
    const known = this.#memory === null ? null : recall(this.#memory, room);
    this.store.tell({ type: "RoomNamed", room, session: known?.session ?? null });
    if (known === null) return;
    if (known.sid !== null) this.store.tell({ type: "RoomSeen", at: this.#clock(), sid: known.sid });
    for (const line of known.lines) this.store.tell({ type: "LineChanged", at: this.#clock(), line });
    if (known.liveAt !== null) this.store.tell({ type: "LiveRecalled", at: known.liveAt });
    if (known.ended !== null) this.store.tell({ type: "EndRecalled", ...known.ended });
  }

  #onConnected(type: "Connected" | "ConnectionRestored"): void {
    if (!this.#owns) {
      // The same room object may be used for one session after the other.
      if (type === "Connected" && this.store.model.view.state === "ended") this.store.reset();
      const credentials = this.#access.adopt();
      if (credentials !== null) this.#name(credentials.token, this.room.name || null);
    }
    if (type === "ConnectionRestored") this.#witness.note("reconnected");
    void this.#witness.flush();
    if (this.store.model.record !== null) void this.#ask();
  }

  /** Ask the control plane how the session stands. */
  async #ask(): Promise<Standing> {
    const { session, room, link } = this.store.model;
    const { token } = this.#access;
    const id = session ?? room;
    if (link.is === "failed") return { is: "unreachable" }; // not even begun, so that there is nothing to ask about
    if (this.#control === null || id === null || token === null) return { is: "unknown" };
    this.#askedAt = this.#clock();
    const standing = await this.#control.state(id, token);
    if (standing.is === "known") {
      this.#tell({ type: "RecordSeen", at: this.#clock(), record: standing.record, writer: "", fresh: true });
    }
    return standing;
  }

  #isConnected(): boolean {
    return this.room.state === "connected";
  }

  async #leaveAstray(): Promise<void> {
    this.#goesAstray = true;
    await this.room.disconnect();
    this.#goesAstray = false;
  }

  async #beat(): Promise<void> {
    const at = this.#clock();
    const asleep = at - this.#beatAt;
    this.#beatAt = at;
    const { link, view, record } = this.store.model;
    if (asleep > SLEPT_MS) {
      this.#witness.note("woke", { milliseconds: asleep });
      this.#returning.hurry();
      if (record !== null) void this.#ask();
    }
    const expectant = view.state !== "live" && view.state !== "ended" && view.state !== "blocked";
    if (expectant && record !== null && link.is === "connected" && at - this.#askedAt > ASK_EVERY_MS) void this.#ask();
    if (link.is !== "connected" || !this.#isConnected()) return;
    look(this.room, this.#tell, at);
    const sid = sidOf(this.room);
    if (sid !== null) this.#tell({ type: "RoomSeen", at, sid });
    const total = await received(this.room);
    if (total !== null) this.#tell({ type: "Received", at: this.#clock(), total });
  }

  #watchPage(): () => void {
    return this.#page.watch({
      online: () => {
        this.#tell({ type: "NetworkChanged", at: this.#clock(), online: true });
        this.#witness.note("online");
        this.#returning.hurry();
      },
      offline: () => {
        this.#tell({ type: "NetworkChanged", at: this.#clock(), online: false });
        this.#witness.note("offline");
      },
      hidden: () => {
        this.#witness.note("hidden");
        this.#remember();
      },
      visible: () => {
        this.#witness.note("visible");
        this.#returning.hurry();
      },
      leaving: () => {
        this.#witness.noteLast("pagehide");
        this.#remember();
      },
      returned: () => this.#returning.hurry(),
    });
  }

  readonly #onChange = (model: Model, before: Model): void => {
    if (model.link.is !== before.link.is) this.#onLink(model);
    if (model.stalledSince !== null && before.stalledSince === null) this.#witness.note("stalled");
    if (model.microphone === "failed" && before.microphone !== "failed") this.#witness.note("microphone_failed");
    if (model.lines !== before.lines && model.lines.at(-1)?.final) this.#remember();
    if (model.view.state === "ended" && before.view.state !== "ended") this.#onEnded(model);
    else this.#returning.attend();
  };

  #onLink({ link }: Model): void {
    if (link.is === "interrupted" || link.is === "lost" || link.is === "astray") this.#witness.note(link.is);
    else if (link.is === "closed") this.#witness.note("closed", { how: link.how });
    else if (link.is === "taken_over") this.#witness.note("taken_over");
  }

  /** Nobody listens any more: let go of the microphone now, and of the room soon; the goodbye may still be playing. */
  #onEnded({ link }: Model): void {
    this.#remember();
    if (link.is === "astray") void this.#leaveAstray();
    if (!this.#owns) return;
    for (const { track } of this.room.localParticipant.audioTrackPublications.values()) track?.stop();
    this.#leaving = setTimeout(() => void this.room.disconnect(), LEAVE_AFTER_MS);
  }

  #remember(): void {
    if (this.#memory !== null) remember(this.#memory, this.store.model);
  }
}
