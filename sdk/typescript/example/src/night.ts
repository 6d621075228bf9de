// SPDX-License-Identifier: Apache-2.0
//
// What a participant wrote in the morning, as a night of docs/protocol/payloads.md, section 2.

export const MEDIA_TYPE = 'application/vnd.mhealth-chain.night+json';

/** The answers of one morning. Times are `hh:mm` of the participant's day. */
export interface Morning {
  bed: string;
  tried: string;
  latency: number;
  awakenings: number;
  awake: number;
  woke: string;
  rose: string;
  quality: number;
}

/** A day as `YYYY-MM-DD`, where the participant is. */
export function day(at: Date): string {
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** A night, by the day on which it ended. */
export interface Night {
  night: string;
  [member: string]: unknown;
}

/** Longest time in minutes between rising and writing. */
const LATEST = 18 * 60;

/** When somebody rose who says that now; nothing when that is not of last night, such as a time that is still to come. */
export function risen(time: string, now: Date): Date | undefined {
  const rose = before(time, now);
  return minutes(rose, now) > LATEST ? undefined : rose;
}

/** The last night before `written`, when the answers were given; nothing when the times do not fit together. */
export function nightOf(morning: Morning, participant: string, written: Date): Night | undefined {
  // Backwards from now: each answer is the last such time before the one after it.
  const rose = risen(morning.rose, written);
  if (rose === undefined) return undefined;
  const woke = before(morning.woke, rose);
  const tried = before(morning.tried, woke);
  const bed = before(morning.bed, tried);
  const onset = new Date(tried.getTime() + morning.latency * 60_000);
  const episode = minutes(onset, woke);
  const asleep = episode - morning.awake;
  const inBed = minutes(bed, rose);
  // A night from noon to noon is long enough.
  if (episode < 0 || asleep < 0 || inBed > 24 * 60) return undefined;

  const point = (schema: string, namespace: string, body: object) => ({
    header: {
      uuid: crypto.randomUUID(),
      schema_id: { namespace, name: schema, version: '1.0' },
      source_creation_date_time: instant(written),
      modality: 'self-reported',
    },
    body,
  });
  const within = (from: Date, to: Date) => ({ time_interval: { start_date_time: instant(from), end_date_time: instant(to) } });
  return {
    participant,
    night: day(rose),
    sleep_episode: point('sleep-episode', 'ieee', {
      effective_time_frame: within(onset, woke),
      latency_to_sleep_onset: duration(morning.latency),
      latency_to_arising: duration(minutes(woke, rose)),
      total_sleep_time: duration(asleep),
      wake_after_sleep_onset: duration(morning.awake),
      number_of_awakenings: morning.awakenings,
      is_main_sleep: true,
      ...(episode > 0 && { sleep_efficiency_percentage: { value: Math.round((asleep / episode) * 1000) / 10, unit: '%' } }),
    }),
    time_in_bed: point('time-in-bed', 'ieee', {
      time_in_bed: duration(inBed),
      effective_time_frame: within(bed, rose),
      is_main_sleep: true,
    }),
    diary: point('consensus-sleep-diary', 'mhealth-chain', {
      csd_core_1: morning.bed,
      csd_core_2: morning.tried,
      csd_core_3: morning.latency,
      csd_core_4: morning.awakenings,
      csd_core_5: morning.awake,
      csd_core_6: morning.woke,
      csd_core_7: morning.rose,
      csd_core_8: morning.quality,
    }),
  };
}

/** The last moment not after another one at which the clock showed a time. */
function before(time: string, end: Date): Date {
  const [hour = 0, minute = 0] = time.split(':').map(Number);
  const at = new Date(end);
  at.setHours(hour, minute, 0, 0);
  if (at > end) at.setDate(at.getDate() - 1);
  return at;
}

function minutes(from: Date, to: Date): number {
  return Math.round((to.getTime() - from.getTime()) / 60_000);
}

function duration(value: number): object {
  return { value, unit: 'min' };
}

/** RFC 3339 with the offset where the participant is. */
function instant(at: Date): string {
  const offset = -at.getTimezoneOffset();
  const [hours, rest] = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60];
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${day(at)}T${clock}${offset < 0 ? '-' : '+'}${two(hours)}:${two(rest)}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
