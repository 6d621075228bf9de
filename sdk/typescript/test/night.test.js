// SPDX-License-Identifier: Apache-2.0
//
// What the diary makes of the answers of a morning.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nightOf } from '../example/dist/night.js';

const MORNING = { bed: '22:30', tried: '22:45', latency: 20, awakenings: 2, awake: 15, woke: '06:30', rose: '07:00', quality: 3 };
/** A moment of 30 November 2026, or of the day after, where this machine is. */
const moment = (hour, minute, day = 30) => new Date(2026, 10, day, hour, minute);
const written = (at, changed = {}) => nightOf({ ...MORNING, ...changed }, 'P-17', at);

test('a morning is the night that ended on its day', () => {
  const night = written(moment(8, 0));
  assert.equal(night.night, '2026-11-30');
  assert.deepEqual(night.sleep_episode.body.total_sleep_time, { value: 430, unit: 'min' });
  assert.deepEqual(night.time_in_bed.body.time_in_bed, { value: 510, unit: 'min' });
});

test('rising that is still to come is no night of yesterday', () => {
  assert.equal(written(moment(6, 58)), undefined);
  assert.equal(written(moment(7, 0)).night, '2026-11-30');
});

test('a night keeps its day when it is written late in the evening, or after midnight', () => {
  assert.equal(written(moment(23, 50)).night, '2026-11-30');
  assert.equal(written(moment(0, 30, 31)).night, '2026-11-30');
  assert.equal(written(moment(1, 30, 31)), undefined);
});

test('times that do not fit together are no night', () => {
  assert.equal(written(moment(8, 0), { latency: 600 }), undefined);
  assert.equal(written(moment(8, 0), { awake: 600 }), undefined);
});
