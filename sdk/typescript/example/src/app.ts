// SPDX-License-Identifier: Apache-2.0
//
// The diary's page: enrols once, asks one screen of questions a morning, says when the answers are safe.

import { MHealthError, Texts, openPhone, persist, persisted, ready } from './lib/browser.js';
import type { Phone } from './lib/browser.js';
import { MEDIA_TYPE, nightOf, risen } from './night.js';
import { paperOf, scan } from './paper.js';
import type { Paper } from './paper.js';

const LANGUAGES = ['en', 'de', 'ja'];
const PATIENCE = 60_000;

/** What the page keeps beside the phone's own store. Nothing of it is secret. */
const kept = {
  language: () => recalled('language') ?? LANGUAGES.find((language) => navigator.language.startsWith(language)) ?? 'en',
  server: () => recalled('server') ?? '',
  participant: () => recalled('participant') ?? '',
};

/** The same as long as the page is open: a browser may refuse to keep anything. */
const noted = new Map<string, string>();

function recalled(name: string): string | null {
  try {
    return noted.get(name) ?? localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name: string, value: string): void {
  noted.set(name, value);
  try {
    localStorage.setItem(name, value);
  } catch {
    // It says so itself when the phone is opened.
  }
}

let texts: Texts | undefined;
let phone: Phone | undefined;
/** Whether the browser promises to keep what is written. */
let promised = false;
/** The night that the next click on save corrects. */
let correcting: string | undefined;

function at<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

function field(id: string): HTMLInputElement {
  return at<HTMLInputElement>(id);
}

/** One of the page's texts. */
function say(name: string, values: Record<string, string | number> = {}): string {
  return texts!.say(name, values);
}

/** Puts a text somewhere, unless it is there: what is put there is read out. */
function put(id: string, text: string): void {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
}

/** Says something above the page's sections. Screen readers read it out: when they come to it, or at once if something is wrong. */
function tell(text: string, wrong = false): void {
  const message = at('message');
  message.setAttribute('aria-live', wrong ? 'assertive' : 'polite');
  message.textContent = text;
  delete message.dataset['code'];
}

/** What an error is about, of what a person types. */
const ABOUT: Record<string, string> = {
  malformed_code: 'code', unknown_code: 'code', code_expired: 'code', code_used: 'code', code_revoked: 'code', other_terms: 'code',
  state_of_another_chain: 'code', state_of_another_study: 'code', already_enrolled: 'code', predecessor_not_retired: 'code',
  not_an_address: 'server', plain_http: 'server', other_address: 'server',
};

/** Marks a field in which something is wrong until it is changed, and leads to it who is not at something else by now. */
function blame(id: string): void {
  const wrong = field(id);
  if (!wrong.hasAttribute('aria-invalid')) {
    const described = wrong.getAttribute('aria-describedby');
    wrong.setAttribute('aria-invalid', 'true');
    wrong.setAttribute('aria-describedby', described === null ? 'message' : `message ${described}`);
    const changed = () => {
      wrong.removeAttribute('aria-invalid');
      if (described === null) wrong.removeAttribute('aria-describedby');
      else wrong.setAttribute('aria-describedby', described);
    };
    wrong.addEventListener('input', changed, { once: true });
  }
  const place = document.activeElement?.closest('section') ?? null;
  if (place === null || place.contains(wrong)) wrong.focus();
}

function tellError(error: unknown): void {
  if (!(error instanceof MHealthError)) {
    console.error(error);
    // Perhaps there are no texts, because the page did not arrive as a whole.
    return tell(texts?.say('broken') ?? 'This page does not work here. Please open it again.', true);
  }
  tell(error.sentence(kept.language()), true);
  at('message').dataset['code'] = error.code;
  const about = ABOUT[error.code];
  if (about !== undefined) blame(about);
}

async function speak(language: string): Promise<void> {
  texts = new Texts(language, await (await fetch(`texts/${language}.ftl`)).text());
  keep('language', language);
  document.documentElement.lang = language;
  document.title = say('title');
  for (const element of document.querySelectorAll<HTMLElement>('[data-say]')) {
    element.textContent = say(element.dataset['say']!);
  }
  at('view').setAttribute('aria-label', say('scan-view'));
  label();
}

/** Names the night that would be saved now. A page stays open over days. */
function label(now = new Date()): void {
  const language = document.documentElement.lang;
  const format = new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, { dateStyle: 'full' });
  const rose = field('rose').value;
  put('night', say('morning-of', { day: format.format((rose && risen(rose, now)) || now) }));
}

/** Shows what the phone says of itself. */
async function show(): Promise<void> {
  if (phone === undefined) return;
  const status = await phone.status();
  const begun = status.study !== null;
  const stopped = status.stopped !== null;
  const left = status.left_behind;
  // A code may turn out to be the wrong one after the diary has begun: the form goes when there is a device that works.
  const shown = { enrol: status.device === null || stopped, morning: begun && !stopped, state: begun };
  for (const [id, yes] of Object.entries(shown)) if (yes) at(id).hidden = false;
  for (const [id, yes] of Object.entries(shown)) if (!yes) hide(at(id), shown.morning ? 'morning-title' : 'enrol-title');
  const safe = at('safe');
  safe.hidden = status.queued > 0 || left > 0 || status.sealed === 0 || status.proved_in === null || stopped;
  // Without a mark between thousands: a block is a name, not an amount.
  put('safe', safe.hidden ? '' : say('safe', { block: `${status.proved_in}` }));
  // Said before a code is used, and as long as there is anything to lose.
  at('unkept').hidden = promised || !safe.hidden;
  const entries = [
    stopped ? say('stopped') : '',
    say('entries', { count: status.sealed, finalised: status.finalised }),
    status.queued > 0 && !stopped ? say('waiting', { count: status.queued }) : '',
    left > 0 ? say('left', { count: left }) : '',
    navigator.onLine ? '' : say('offline'),
  ];
  put('entries', entries.join(' '));
  put('advice', status.advice === 'nothing' ? '' : await phone.advice(kept.language()));
  at('send').hidden = stopped;
  at('export').hidden = left === 0 && (!stopped || status.queued === 0);
}

/** Hides a section. Who was in it goes on at a heading. */
function hide(section: HTMLElement, heading: string): void {
  const within = section.contains(document.activeElement);
  section.hidden = true;
  if (within) at(heading).focus();
}

let sending: Promise<void> | undefined;

/** Sends what is there, one attempt at a time, and comes again when the phone says that it is of use. */
async function send(): Promise<void> {
  if (phone === undefined) return;
  sending ??= (async () => {
    try {
      put('advice', say('sending'));
      await phone?.sync({ deadline: PATIENCE });
    } catch (error) {
      // Of what has a code, the status says what there is to do.
      if (!(error instanceof MHealthError)) tellError(error);
    } finally {
      sending = undefined;
    }
    await show().catch(tellError);
    await again();
  })();
  await sending;
}

let alarm: ReturnType<typeof setTimeout> | undefined;

/** Comes again; in a minute if the phone cannot even say when. */
async function again(): Promise<void> {
  let pause = 60_000;
  try {
    const { study, device, next_try: next, queued, stopped } = await phone!.status();
    // An enrolment that has begun is finished without its person.
    const enrolling = study !== null && device === null;
    if (stopped !== null || (queued === 0 && !enrolling)) return;
    pause = Math.max(5_000, (next ?? 0) * 1000 - Date.now());
  } catch (error) {
    console.error(error);
  }
  clearTimeout(alarm);
  alarm = setTimeout(() => void send(), pause);
}

async function enrol(): Promise<void> {
  const paper: Paper = { server: field('server').value.trim(), code: field('code').value, participant: field('participant').value.trim() };
  const before = kept.participant();
  keep('server', paper.server);
  keep('participant', paper.participant);
  tell(say('enrol-doing'));
  // The diary can begin as soon as the server has said what the code is for; the rest may take its time.
  const watching = setInterval(() => void show().catch(tellError), 500);
  try {
    await phone!.enrol(paper.server, paper.code, { deadline: PATIENCE });
    field('code').value = '';
    tell('');
  } catch (error) {
    // What is written meanwhile is not another person's because of a paper that is of no use.
    if (before !== '' && error instanceof MHealthError && error.code in ABOUT) keep('participant', before);
    tellError(error);
  } finally {
    clearInterval(watching);
  }
  await show();
  void send();
}

async function save(): Promise<void> {
  const now = new Date();
  const number = (id: string) => Number(field(id).value);
  const quality = document.querySelector<HTMLInputElement>('input[name=quality]:checked');
  const morning = {
    bed: field('bed').value,
    tried: field('tried').value,
    latency: number('latency'),
    awakenings: number('awakenings'),
    awake: number('awake'),
    woke: field('woke').value,
    rose: field('rose').value,
    quality: Number(quality?.value),
  };
  const night = nightOf(morning, kept.participant(), now);
  label(now);
  if (night === undefined) {
    tell(say('unlikely'), true);
    return field('bed').focus();
  }
  const source = `diary/${night.night}`;
  try {
    const { outcome } = await phone!.seal(source, MEDIA_TYPE, JSON.stringify(night), {
      content: JSON.stringify(morning),
      correct: correcting === source,
    });
    correcting = outcome === 'differs' ? source : undefined;
    tell(say({ new: 'saved', before: 'saved-before', differs: 'changed-before' }[outcome]));
  } catch (error) {
    return tellError(error);
  }
  await show();
  void send();
}

const FILES = [
  { name: 'sleep-diary.jsonl', lines: () => phone!.exportQueue() },
  { name: 'sleep-diary-unenrolled.jsonl', lines: () => phone!.exportUnenrolled() },
];
let turn = 0;

/**
 * Hands what nobody sends any more to the participant, as files for the study team: one each time, because browsers may keep back a
 * second one that nobody asked for. What is in a file that was not asked for yet is still to be handed over.
 */
async function exportLeft(): Promise<void> {
  for (const _ of FILES) {
    const { name, lines } = FILES[turn]!;
    turn = (turn + 1) % FILES.length;
    const found = await lines();
    if (found === '') continue;
    offer(name, found);
    break;
  }
  await show();
}

function offer(name: string, lines: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([lines], { type: 'application/jsonl' }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function fill(paper: Paper): void {
  field('server').value = paper.server;
  field('code').value = paper.code;
  field('participant').value = paper.participant;
}

async function scanned(): Promise<void> {
  if (!('BarcodeDetector' in globalThis)) return tell(say('scan-no'));
  const camera = at('camera');
  // One at a time: whichever ended first would take the picture from the other.
  if (!camera.hidden) return;
  camera.hidden = false;
  try {
    const found = await scan(at<HTMLVideoElement>('view'), at('stop'));
    if (found === undefined) return;
    const paper = paperOf(found);
    if (paper === undefined) return tell(say('scan-foreign'));
    fill(paper);
    tell('');
    field('code').focus();
  } catch {
    tell(say('scan-no'));
  } finally {
    // Who stopped it goes on where it was begun.
    if (camera.contains(document.activeElement)) at('scan').focus();
    camera.hidden = true;
  }
}

/** Does something when a form is sent, and nothing twice. */
function onSubmit(id: string, work: () => Promise<void>): void {
  const button = at(id).querySelector<HTMLButtonElement>('button:not([type])')!;
  at(id).addEventListener('submit', (event) => {
    event.preventDefault();
    if (button.hasAttribute('aria-disabled')) return;
    // `disabled` would take the focus away.
    button.setAttribute('aria-disabled', 'true');
    void work()
      .catch(tellError)
      .finally(() => button.removeAttribute('aria-disabled'));
  });
}

/** Lets a version of this page take over that has come since it was opened last. Nothing is typed yet. */
async function renew(): Promise<void> {
  const workers: ServiceWorkerContainer | undefined = navigator.serviceWorker;
  const waiting = (await workers?.getRegistration())?.waiting;
  if (!workers || !waiting) return;
  const over = new Promise<void>((resolve) => workers.addEventListener('controllerchange', () => resolve(), { once: true }));
  waiting.postMessage('take over');
  const never = new Promise<void>(() => {});
  // One that does not come is none to wait for.
  const enough = new Promise<void>((resolve) => setTimeout(resolve, 3000));
  await Promise.race([enough, over.then(() => (location.reload(), never))]);
}

async function begin(): Promise<void> {
  await renew().catch((error: unknown) => console.error(error));
  await ready();
  const language = at<HTMLSelectElement>('language');
  language.value = kept.language();
  await speak(language.value);
  language.addEventListener('change', () => void speak(language.value).then(show).catch(tellError));
  onSubmit('enrolment', enrol);
  onSubmit('diary', save);
  at('scan').addEventListener('click', () => void scanned().catch(tellError));
  at('send').addEventListener('click', () => void send());
  at('export').addEventListener('click', () => void exportLeft().catch(tellError));
  field('rose').addEventListener('input', () => label());
  document.addEventListener('visibilitychange', () => label());
  addEventListener('online', () => void send());
  addEventListener('offline', () => void show().catch(tellError));

  fill({ server: kept.server(), code: '', participant: kept.participant() });
  const paper = paperOf(location.href);
  if (paper !== undefined) {
    fill(paper);
    // A code is not left in the browser's history.
    history.replaceState(null, '', location.pathname);
  }
  promised = await persisted();
  void persist().then(async (yes) => ((promised = yes), show())).catch(tellError);
  phone = await openPhone();
  await show();
  void send();
  // Without it the page needs a connection, and works otherwise.
  void navigator.serviceWorker?.register('worker.js', { updateViaCache: 'none' }).catch((error: unknown) => console.error(error));
}

begin().catch(tellError);
