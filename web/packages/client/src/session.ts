/** The shell around the model: one LiveKit room, what the user does to it, and who wants to know. */
import { ConnectionError, LogLevel, Room, setLogLevel } from "livekit-client";
import { type ConnectFailure, type Happened, INITIAL, type Model } from "./model";
import { reduce } from "./reduce";
import { CHAT_TOPIC, listen } from "./room-events";
import type { TokenSource } from "./token";
import type { Line } from "./transcript";

// The client's own log, and the message of its connection errors, may carry the token.
setLogLevel(LogLevel.silent);

/** Milliseconds for the signal connection to open; the default of 15 s keeps the user in the dark for too long. */
const SIGNAL_TIMEOUT_MS = 5_000;
/** Milliseconds after the end until this page leaves by itself, should the room outlive it. */
const LEAVE_AFTER_MS = 5_000;

export interface SessionOptions {
  readonly tokens: TokenSource;
  /** Stays the same when the page is loaded again. */
  readonly identity: string;
  readonly name: string;
  /** The room to come back to; null for a new one. */
  readonly room: string | null;
  readonly microphone: { readonly on: boolean; readonly deviceId: string | null };
  /** What is known from before the page was loaded again. */
  readonly before?: { readonly lines: readonly Line[]; readonly liveAt: number | null };
  readonly clock?: () => number;
}

export class Session {
  readonly room: Room;
  readonly identity: string;
  readonly #options: SessionOptions;
  readonly #clock: () => number;
  readonly #subscribers = new Set<() => void>();
  #model: Model;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
    this.#model = { ...INITIAL, room: options.room, ...options.before };
    this.identity = options.identity;
    const { deviceId } = options.microphone;
    this.room = new Room({
      // A reload is no leave: the same identity comes back, and takes the old connection's place.
      disconnectOnPageLeave: false,
      audioCaptureDefaults: deviceId === null ? {} : { deviceId },
    });
    listen(this.room, this.#tell, this.#clock);
    for (const type of ["online", "offline"] as const) {
      window.addEventListener(type, () =>
        this.#tell({ type: "NetworkChanged", at: this.#clock(), online: type === "online" }),
      );
    }
  }

  readonly subscribe = (subscriber: () => void): (() => void) => {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  };

  readonly snapshot = (): Model => this.#model;

  /** Join the room. Never rejects: what goes wrong is in the model. */
  async connect(): Promise<void> {
    this.#tell({ type: "ConnectionBegun", at: this.#clock() });
    const { tokens, identity, name, microphone } = this.#options;
    const answer = await tokens({ identity, name, room: this.#model.room });
    switch (answer.is) {
      case "ended":
        if (answer.record !== null)
          this.#tell({ type: "RecordSeen", at: this.#clock(), record: answer.record, writer: "" });
        return this.#fail("gone");
      case "refused":
        return this.#fail("token");
      case "unreachable":
        return this.#fail("server");
      case "granted":
        break;
    }
    if (this.#model.endRequested) return this.#fail("server");
    if (answer.room !== null) this.#tell({ type: "RoomNamed", room: answer.room });
    try {
      await this.room.connect(answer.serverUrl, answer.token, { websocketTimeout: SIGNAL_TIMEOUT_MS });
    } catch (error) {
      return this.#fail(failureOf(error));
    }
    if (microphone.on) await this.setMicrophone(true);
  }

  /** Turn the microphone on or off. Never rejects. */
  async setMicrophone(on: boolean): Promise<void> {
    try {
      await this.room.localParticipant.setMicrophoneEnabled(on);
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
  async retry(): Promise<void> {
    const { view } = this.#model;
    if (view.state !== "blocked") return;
    await (view.cause === "microphone" ? this.setMicrophone(true) : this.connect());
  }

  /** End the session, as its user. */
  async end(): Promise<void> {
    this.#tell({ type: "EndRequested", at: this.#clock() });
    await this.room.disconnect();
  }

  readonly #tell = (happened: Happened): void => {
    const before = this.#model;
    this.#model = reduce(before, happened);
    if (this.#model === before) return;
    if (this.#model.view.state === "ended" && before.view.state !== "ended") this.#onEnded();
    for (const subscriber of this.#subscribers) subscriber();
  };

  #fail(failure: ConnectFailure): void {
    this.#tell({ type: "ConnectionFailed", at: this.#clock(), failure });
  }

  /** Nobody listens any more: let go of the microphone now, and of the room soon; the goodbye may still be playing. */
  #onEnded(): void {
    for (const { track } of this.room.localParticipant.audioTrackPublications.values()) track?.stop();
    setTimeout(() => void this.room.disconnect(), LEAVE_AFTER_MS);
  }
}

function failureOf(error: unknown): ConnectFailure {
  const status = error instanceof ConnectionError ? error.status : undefined;
  if (status === 404) return "not_found";
  return status === 401 || status === 403 ? "token" : "server";
}
