// SPDX-License-Identifier: Apache-2.0
//
// The diary's page: enrols once, asks one screen of questions a morning, says when the answers are safe.

import { MHealthError, Texts, openPhone, ready } from './lib/browser.js';
import type { Phone } from './lib/browser.js';
import { MEDIA_TYPE, nightOf, risen } from './night.js';
import { paperOf, scan } from './paper.js';
import type { Paper } from './paper.js';

const LANGUAGES = ['en', 'de', 'ja'];
const PATIENCE = 60_000;

/** What the page keeps beside the phone's own store. Nothing of it is secret. */
const kept = {
  language: () => localStorage.getItem('language') ?? LANGUAGES.find((language) => navigator.language.startsWith(language)) ?? 'en',
  server: () => localStorage.getItem('server') ?? '',
  participant: () => localStorage.getItem('participant') ?? '',
};

let texts: Texts;
let phone: Phone | undefined;
/** The night that the next click on save corrects. */
let correcting: string | undefined;

function at<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

function field(id: string): HTMLInputElement {
  return at<HTMLInputElement>(id);
}

/** Says something above the page's sections; screen readers read it out. */
function tell(text: string): void {
  at('message').textContent = text;
}

function tellError(error: unknown): void {
  if (!(error instanceof MHealthError)) throw error;
  const message = at('message');
  message.textContent = error.sentence(kept.language());
  message.dataset['code'] = error.code;
}

async function speak(language: string): Promise<void> {
  texts = new Texts(language, await (await fetch(`texts/${language}.ftl`)).text());
  localStorage.setItem('language', language);
  document.documentElement.lang = language;
  document.title = texts.say('title');
  for (const element of document.querySelectorAll<HTMLElement>('[data-say]')) {
    element.textContent = texts.say(element.dataset['say']!);
  }
  at('view').setAttribute('aria-label', texts.say('scan-view'));
  label();
}

/** Names the night that would be saved now. A page stays open over days. */
function label(now = new Date()): void {
  const language = document.documentElement.lang;
  const format = new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, { dateStyle: 'full' });
  const rose = field('rose').value;
  at('night').textContent = texts.say('morning-of', { day: format.format((rose && risen(rose, now)) || now) });
}

/** Shows what the phone says of itself. */
async function show(): Promise<void> {
  if (phone === undefined) return;
  const status = await phone.status();
  const begun = status.study !== null;
  at('enrol').hidden = begun && status.stopped === null;
  at('morning').hidden = !begun || status.stopped !== null;
  at('state').hidden = !begun;
  const safe = at('safe');
  safe.hidden = status.queued > 0 || status.sealed === 0 || status.proved_in === null;
  // Without a mark between thousands: a block is a name, not an amount.
  if (!safe.hidden) safe.textContent = texts.say('safe', { block: `${status.proved_in}` });
  at('entries').textContent = [
    texts.say('entries', { count: status.sealed, finalised: status.finalised }),
    status.queued > 0 ? texts.say('waiting', { count: status.queued }) : '',
    navigator.onLine ? '' : texts.say('offline'),
  ].join(' ');
  at('advice').textContent = status.advice === 'nothing' ? '' : await phone.advice(kept.language());
  at('send').hidden = status.stopped !== null;
  at('export').hidden = status.stopped === null || status.queued === 0;
}

let sending: Promise<void> | undefined;

/** Sends what is there, one attempt at a time, and comes again when the phone says that it is of use. */
async function send(): Promise<void> {
  if (phone === undefined) return;
  sending ??= (async () => {
    try {
      at('advice').textContent = texts.say('sending');
      await phone?.sync({ deadline: PATIENCE });
    } catch (error) {
      if (!(error instanceof MHealthError)) throw error;
      // The status says what there is to do.
    } finally {
      sending = undefined;
      await show();
      await again();
    }
  })();
  await sending;
}

let alarm: ReturnType<typeof setTimeout> | undefined;

async function again(): Promise<void> {
  clearTimeout(alarm);
  const { next_try: next, queued, stopped } = await phone!.status();
  if (stopped !== null || queued === 0) return;
  const pause = Math.max(5_000, (next ?? 0) * 1000 - Date.now());
  alarm = setTimeout(() => void send(), pause);
}

async function enrol(): Promise<void> {
  const paper: Paper = { server: field('server').value.trim(), code: field('code').value, participant: field('participant').value.trim() };
  localStorage.setItem('server', paper.server);
  localStorage.setItem('participant', paper.participant);
  tell(texts.say('enrol-doing'));
  // The diary can begin as soon as the server has said what the code is for; the rest may take its time.
  const watching = setInterval(() => void show(), 500);
  try {
    await phone!.enrol(paper.server, paper.code, { deadline: PATIENCE });
    tell('');
  } catch (error) {
    if ((await phone!.status()).study === null) tellError(error);
    else tell('');
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
  if (night === undefined) return tell(texts.say('unlikely'));
  const source = `diary/${night.night}`;
  try {
    const { outcome } = await phone!.seal(source, MEDIA_TYPE, JSON.stringify(night), {
      content: JSON.stringify(morning),
      correct: correcting === source,
    });
    correcting = outcome === 'differs' ? source : undefined;
    tell(texts.say({ new: 'saved', before: 'saved-before', differs: 'changed-before' }[outcome]));
    delete at('message').dataset['code'];
  } catch (error) {
    return tellError(error);
  }
  await show();
  void send();
}

/** Hands what a stopped phone still holds to the participant, as a file for the study team. */
async function exportQueue(): Promise<void> {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([await phone!.exportQueue()], { type: 'application/jsonl' }));
  link.download = 'sleep-diary.jsonl';
  link.click();
  URL.revokeObjectURL(link.href);
}

function fill(paper: Paper): void {
  field('server').value = paper.server;
  field('code').value = paper.code;
  field('participant').value = paper.participant;
}

async function scanned(): Promise<void> {
  if (!('BarcodeDetector' in globalThis)) return tell(texts.say('scan-no'));
  at('camera').hidden = false;
  try {
    const found = await scan(at<HTMLVideoElement>('view'), at('stop'));
    if (found === undefined) return;
    const paper = paperOf(found);
    if (paper === undefined) return tell(texts.say('scan-foreign'));
    fill(paper);
    tell('');
    field('code').focus();
  } catch {
    tell(texts.say('scan-no'));
  } finally {
    at('camera').hidden = true;
  }
}

/** Does something when a form is sent, and nothing twice. */
function onSubmit(id: string, work: () => Promise<void>): void {
  at(id).addEventListener('submit', (event) => {
    event.preventDefault();
    const button = at(id).querySelector<HTMLButtonElement>('button:not([type])')!;
    button.disabled = true;
    void work().finally(() => (button.disabled = false));
  });
}

async function begin(): Promise<void> {
  await ready();
  const language = at<HTMLSelectElement>('language');
  language.value = kept.language();
  await speak(language.value);
  language.addEventListener('change', () => void speak(language.value).then(show));
  onSubmit('enrolment', enrol);
  onSubmit('diary', save);
  at('scan').addEventListener('click', () => void scanned());
  at('send').addEventListener('click', () => void send());
  at('export').addEventListener('click', () => void exportQueue());
  field('rose').addEventListener('input', () => label());
  document.addEventListener('visibilitychange', () => label());
  addEventListener('online', () => void send());
  addEventListener('offline', () => void show());

  fill({ server: kept.server(), code: '', participant: kept.participant() });
  const paper = paperOf(location.href);
  if (paper !== undefined) {
    fill(paper);
    // A code is not left in the browser's history.
    history.replaceState(null, '', location.pathname);
  }
  try {
    // Asks the browser not to throw the diary away when the disk fills up.
    await navigator.storage?.persist?.();
    phone = await openPhone();
  } catch (error) {
    tellError(error);
    return;
  }
  await show();
  void send();
  await navigator.serviceWorker?.register('worker.js');
}

void begin();
