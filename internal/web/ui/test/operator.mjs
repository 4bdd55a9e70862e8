// What an operator does on the page of a real gateway: write, approve, and see what healed.
import { check, eventually, go, newPage, text } from './checks.mjs';
import { startGateway } from './gateway.mjs';

const signedIn = async (browser, g, name, options) => {
  const page = await newPage(browser, options);
  await page.goto(`${g.url}#token=${g.tokens[name]}`);
  await eventually(`the page knows ${name}`, async () => (await text(page, '.who span')) === name);
  return page;
};

const pen = (page, tag) => page.getByRole('button', { name: `Write ${tag}`, exact: true });
const end = (page) => page.locator('dialog .ended').getAttribute('data-end');
const closeDialog = (page) => page.locator('dialog').getByRole('button', { name: 'Close' }).click();

// write types a value, continues and confirms.
async function write(page, tag, value) {
  await pen(page, tag).click();
  await page.locator('dialog [name=value]').first().waitFor();
  if (typeof value === 'boolean') await page.locator(`dialog .segments label:has(input[value=${value}])`).click();
  else await page.fill('dialog [name=value]', value);
  await page.fill('dialog [name=reason]', 'browser test');
  await page.locator('dialog').getByRole('button', { name: 'Continue' }).click();
  await page.locator('dialog[data-step=confirm] .primary').click();
}

// onPost has f answer what the page asks to be written.
const onPost = (page, f) => page.route('**/api/v1/writes', (r) => (r.request().method() === 'POST' ? f(r) : r.fallback()));

async function whoMayWrite(browser, g) {
  const page = await newPage(browser);
  await go(page, g.url, '/devices/press-1');
  await eventually('whoever is not signed in hears that tags are writable', async () => (await text(page, '.table .hint')).includes('writable: sign in'));
  check('and has no control to write', (await page.locator('.pen').count()) === 0);
  await page.click('.table .hint button');
  await page.fill('[name=token]', 'not-a-token-of-anybody');
  await page.click('dialog .primary');
  await eventually('a token that nobody has is refused in words', async () => (await text(page, 'dialog .problem')).includes('refused'));
  await page.fill('[name=token]', g.tokens['shift-a']);
  await page.click('dialog .primary');
  await eventually('a person signs in by name', async () => (await text(page, '.who span')) === 'shift-a');
  await eventually('and has a control at the tags of that role', async () => (await page.locator('.pen').count()) === 4);
  check('but not at those of another', (await pen(page, 'press-1/reserved').count()) === 0);
  await page.click('.who');
  await page.click('dialog .out');
  await eventually('who signs out has none', async () => (await page.locator('.pen').count()) === 0);
  await page.context().close();
}

async function writing(browser, g) {
  const page = await signedIn(browser, g, 'shift-a');
  await go(page, g.url, '/devices/press-1');
  await pen(page, 'press-1/setpoint').click();
  await eventually('type, range and unit are shown', async () => {
    const said = await text(page, 'dialog');
    return (/Type\s+float64/.test(said) && /Range\s+0 to 220 °C/.test(said) && said.includes('tag("./door") == false')) || said;
  });
  await page.fill('dialog [name=value]', '240');
  await eventually('a value out of range is refused before one tries', async () => (await text(page, 'dialog .against')).includes('240 is not between 0 and 220'));
  check('and cannot be continued with', await page.locator('dialog .primary').isDisabled());
  await page.fill('dialog [name=value]', '180.04'); // and faster than the gateway can judge it
  await page.fill('dialog [name=reason]', 'recipe 7');
  await page.keyboard.press('Enter');
  await eventually('Enter continues to a step that repeats what will be written, rounded as the device has it', async () => (await text(page, 'dialog h2')) === 'Write 180 °C to press-1/setpoint?');
  check('with who, why and where', /shift-a/.test(await text(page, 'dialog')) && /recipe 7/.test(await text(page, 'dialog')) && /modbus:\/\/127.0.0.1/.test(await text(page, 'dialog')));
  check('and Enter alone does not write', (await page.evaluate(() => document.activeElement?.tagName)) === 'H2');
  await page.locator('dialog').getByRole('button', { name: 'Write 180 °C' }).click();
  await eventually('it is confirmed, with what was read back', async () => (await end(page)) === 'confirmed' && (await text(page, 'dialog .ended')).includes('The device has 180 °C'));
  await closeDialog(page);
  await eventually('the row has it', async () => (await page.locator('.row', { hasText: 'setpoint' }).locator('.num').innerText()) === '180');

  await write(page, 'press-1/door', true);
  await eventually('a switch is written', async () => (await end(page)) === 'confirmed');
  await closeDialog(page);
  await pen(page, 'press-1/setpoint').click();
  await eventually('an interlock that forbids it says so before one tries', async () => (await text(page, 'dialog .against')).includes('press-1/door is true'));
  check('and cannot be passed', await page.locator('dialog .primary').isDisabled());
  await page.keyboard.press('Escape');
  await write(page, 'press-1/door', false);
  await eventually('the door is closed again', async () => (await end(page)) === 'confirmed');
  await closeDialog(page);

  // Devices that do not do what they are told.
  for (const [device, ending, words, reason] of [
    ['stubborn', 'differs', 'has 10', ''],
    ['locked', 'failed', 'not executed', 'access not allowed'],
    ['mute', 'unknown', 'may have been executed', 'no reply within'],
  ]) {
    await go(page, g.url, `/devices/${device}`);
    await pen(page, `${device}/set`).waitFor();
    if (device === 'mute') g.mute(true);
    await write(page, `${device}/set`, '21');
    await eventually(`${ending} is said in words, with its reason`, async () => {
      const said = await text(page, 'dialog .ended');
      return ((await end(page)) === ending && said.includes(words) && said.includes(reason)) || said;
    });
    if (device === 'mute') g.mute(false);
    await closeDialog(page);
    check(`and the audit log has that it ${ending}`, g.audit('list', '--tag', `${device}/set`, '--end', ending).split('\n').length === 2);
  }
  await go(page, g.url, '/devices/press-1');

  // The gateway writes, and its answer is lost on the way.
  await onPost(page, async (r) => {
    await r.fetch();
    await r.abort();
  });
  await write(page, 'press-1/setpoint', '33');
  await eventually('an answer that is lost is no end', async () => (await text(page, 'dialog .problem')).includes('not known'));
  await page.unroute('**/api/v1/writes');
  await page.locator('dialog').getByRole('button', { name: 'Ask again' }).click();
  await eventually('asking again tells it', async () => (await end(page)) === 'confirmed');
  await closeDialog(page);
  check('and did not write twice', g.audit('list', '--tag', 'press-1/setpoint', '--json').split('\n').filter((l) => l.includes('"sending"') && l.includes('"new":33')).length === 1);

  const forged = await page.evaluate(async () => (await fetch('/api/v1/writes', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"tag":"press-1/setpoint","value":1}' })).status);
  check('without the header that the page sends nothing is written', forged === 401, forged);
  await go(page, g.url, '/writes');
  await eventually('what this tab wrote is listed', async () => (await page.locator('.asked li').count()) >= 5);
  await page.context().close();
}

async function desired(browser, g) {
  const page = await signedIn(browser, g, 'shift-a');
  await go(page, g.url, '/devices/press-3');
  await write(page, 'press-3/speed', '700');
  await eventually('a desired value is written at the next poll', async () => (await end(page)) === 'confirmed');
  await closeDialog(page);
  await g.away(3);
  await eventually('a press that is gone is down', async () => (await text(page, '.device .badge')) === 'Down');
  await pen(page, 'press-3/setpoint').click();
  await eventually('a write to a device that is down is said to be refused', async () => (await text(page, 'dialog .problem.warn')).includes('press-3 is down: a write would be refused'));
  await page.keyboard.press('Escape');
  await write(page, 'press-3/speed', '900');
  await eventually('a desired value waits for it', async () => (await text(page, 'dialog')).includes('Waits for the next poll'));
  await closeDialog(page);
  await pen(page, 'press-3/speed').click();
  await eventually('that is shown, with whose it is', async () => /900 rpm\s+of shift-a waits/.test(await text(page, 'dialog .wished')));
  await page.click('dialog .wished button');
  await eventually('and can be taken back', async () => (await page.locator('dialog .wished').count()) === 0);
  await page.keyboard.press('Escape');
  await go(page, g.url, '/writes');
  await eventually('which is its end', async () => (await text(page, '.asked li')).includes('shift-a took it back') && (await text(page, '.asked .badge')) === 'Refused');
  g.back(3);
  await page.context().close();
}

async function approval(browser, g) {
  const a = await signedIn(browser, g, 'shift-a');
  const b = await signedIn(browser, g, 'shift-b');
  await go(a, g.url, '/devices/press-2');
  for (const value of ['7', '8']) {
    await write(a, 'press-2/recipe', value);
    await eventually(`${value} waits for somebody else`, async () => (await end(a)) === 'pending' && (await text(a, 'dialog .ended')).includes('Somebody else has to approve it until'));
    await closeDialog(a);
  }
  await go(a, g.url, '/writes');
  await eventually('whoever asked sees it wait', async () => (await a.locator('.waiting li').count()) === 2);
  check('and has no control to approve it', (await a.locator('.waiting').getByRole('button', { name: 'Approve' }).count()) === 0 && (await text(a, '.waiting .own')).includes('Somebody else'));
  await eventually('another one is told in the head of the page', async () => (await text(b, 'nav .pill.calm')) === '2');
  await go(b, g.url, '/writes');
  await eventually('by whom, and until when', async () => /7 no\. to press-2\/recipe[\s\S]*Asked for by shift-a[\s\S]*browser test[\s\S]*Until \d\d:\d\d:\d\d, 15 minutes left/.test(await text(b, '.waiting li')));
  await b.locator('.waiting li').first().getByRole('button', { name: 'Approve' }).click();
  check('approving repeats what is written', (await text(b, 'dialog h2')).includes('write 7 no. to press-2/recipe'));
  await b.fill('dialog [name=reason]', 'looked at the gauge');
  await b.click('dialog .primary');
  await eventually('what is approved is written', async () => (await end(b)) === 'confirmed' && (await text(b, 'dialog .ended')).includes('approved by shift-b'));
  await closeDialog(b);
  await b.locator('.waiting li').getByRole('button', { name: 'Refuse' }).click();
  await b.fill('dialog [name=reason]', 'too hot');
  await b.click('dialog .primary');
  await eventually('what is refused is not', async () => (await end(b)) === 'refused' && (await text(b, 'dialog .ended')).includes('too hot'));
  await closeDialog(b);
  await eventually('nothing waits any more', async () => (await text(b, '.waiting')).includes('Nothing waits'));
  await eventually('whoever asked is told both', async () => {
    const said = await a.locator('.asked .badge').allInnerTexts();
    return (said.includes('Confirmed') && said.includes('Refused')) || said;
  });
  await go(a, g.url, '/devices/press-2');
  await write(a, 'press-2/recipe', '9');
  await eventually('9 waits', async () => (await end(a)) === 'pending');
  await closeDialog(a);
  await go(a, g.url, '/writes');
  await eventually('in place of what is there', async () => (await text(a, '.waiting li')).includes('In place of 7'));
  await a.locator('.waiting li').getByRole('button', { name: 'Take back' }).click();
  await a.click('dialog .primary');
  await eventually('whoever asked takes it back', async () => (await end(a)) === 'refused' && (await text(a, 'dialog .ended')).includes('shift-a took it back'));
  await closeDialog(a);
  await a.context().close();
  await b.context().close();
}

async function healing(browser, g) {
  const page = await newPage(browser);
  await go(page, g.url, '/healing');
  const badge = (rule) => page.locator(`[data-rule=${rule}] .badge`).innerText();
  for (const [rule, state] of [['watches', 'Armed'], ['storm', 'Stopped'], ['futile', 'Cooling'], ['helps', 'Cooling']]) {
    await eventually(`the rule ${rule} is ${state.toLowerCase()}`, async () => (await badge(rule)) === state || (await badge(rule)), 60_000); // on a busy machine the gateway looks more seldom
  }
  check('and says why it stopped', /4 of 4 are ill/.test(await text(page, '[data-rule=storm]')), await text(page, '[data-rule=storm]'));
  const run = (outcome) => page.locator(`[data-outcome=${outcome}]`).first();
  await eventually('a run that helped is verified', async () => /helps for press-2/.test(await run('healed').innerText()));
  await run('healed').locator('summary').click();
  await eventually('with why, what was done, and how it was before and afterwards', async () => {
    const said = await run('healed').innerText();
    return /device\.stretch was 1/.test(said) && /press-2: stretch intervals by 4/.test(said) && /before: [\s\S]*×1[\s\S]*after: [\s\S]*×4/.test(said) || said;
  });
  await eventually('one that did not is rolled back', async () => /futile for press-1/.test(await run('rolled_back').innerText()));

  await page.locator('[data-rule=watches] a').click();
  await eventually('a rule explains itself', async () => /When[\s\S]*device\.jitter > duration\("10s"\)[\s\S]*Bounds[\s\S]*rest of 15m0s/.test(await text(page, '.rule')));
  await page.getByRole('button', { name: 'Show, without doing it' }).click();
  await eventually('a dry run shows that nothing would be done', async () => (await text(page, '.rule .nothing')).includes('holds for nothing'));
  await page.fill('[name=subject]', 'press-1');
  await page.keyboard.press('Enter');
  await eventually('and for one device what would be', async () => /press-1[\s\S]*does not hold[\s\S]*press-1: degrade/.test(await text(page, '.preview')) || (await text(page, '.preview')));
  check('without a token nobody pauses', (await page.getByRole('button', { name: 'Pause healing' }).count()) === 0);

  await go(page, g.url, '/devices/press-2');
  await eventually('a device shows the runs that touched it', async () => (await page.locator('.runs [data-outcome=healed]').count()) === 1 && (await page.locator('.runs [data-run]').count()) === 1);
  await page.locator('.runs summary a').click();
  await eventually('and links to the rule', async () => (await text(page, '.rule h1')) === 'helps');
  await page.context().close();

  const owner = await signedIn(browser, g, 'admin');
  await go(owner, g.url, '/healing');
  await owner.getByRole('button', { name: 'Pause healing' }).click();
  await owner.fill('[name=reason]', 'line 2 is being rebuilt');
  await owner.click('dialog .primary');
  await eventually('the owner of the gateway pauses healing', async () => (await owner.locator('[data-rule=watches] .badge').innerText()) === 'Paused' && (await text(owner, '.rules .reason')).includes('line 2'));
  await owner.getByRole('button', { name: 'Let it go on' }).click();
  await owner.click('dialog .primary');
  await eventually('and lets it go on', async () => (await owner.locator('[data-rule=watches] .badge').innerText()) === 'Armed');
  await owner.context().close();
}

// phone holds that all of it fits a phone, in the dark too.
async function phone(browser, g) {
  const page = await signedIn(browser, g, 'shift-a', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: 'dark' });
  const fits = async (what) => {
    const over = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.querySelector('dialog')?.scrollWidth ?? 0) - innerWidth);
    check(`${what} fits a phone`, over <= 0, `${over} px too wide`);
  };
  for (const [path, sign] of [['/', '.cell'], ['/writes', '.waiting'], ['/healing', '.runs details'], ['/healing/futile', '.rule .how'], ['/devices/press-1', '.runs details']]) {
    await go(page, g.url, path);
    await page.locator(sign).first().waitFor();
    await fits(path);
  }
  await pen(page, 'press-1/setpoint').click();
  await page.locator('dialog .lock').waitFor();
  await fits('the dialog to write');
  await page.context().close();
}

async function glance(browser, g) {
  const page = await newPage(browser);
  await page.goto(g.url);
  await eventually('the top of the page counts the devices', async () => (await text(page, '.alarms h1')) === 'All 7 devices are read.');
  await g.away(4);
  await eventually('one that is gone is the worst thing, in the words of why', async () => /press-4: .*nothing listens on port \d+/.test(await text(page, '.worst .text')) || (await text(page, '.worst .text')));
  check('it is counted', (await text(page, '.alarms h1')) === '6 of 7 devices are read, 1 is not.', await text(page, '.alarms h1'));
  check('with what to do, and since when', /Compare the port/.test(await text(page, '.worst .todo')) && /since \d\d:\d\d:\d\d,\s+for \d+ s/.test(await text(page, '.worst time')), await text(page, '.worst'));
  await eventually('and with what healing did about it', async () => /none of its 4 rules was due; storm has stopped|futile/.test(await text(page, '.worst .heals')) || (await text(page, '.worst .heals')));
  await page.locator('.worst .text a').focus();
  await page.keyboard.press('Enter');
  await eventually('its page opens by keyboard', async () => (await text(page, '.device h1')) === 'press-4');
  g.back(4);
  await go(page, g.url, '/');
  await eventually('and all are read again', async () => (await text(page, '.alarms h1')) === 'All 7 devices are read.' || (await text(page, '.alarms h1')));
  await page.context().close();
}

export async function operator(browser) {
  const g = await startGateway({ 'shift-a': 'write', 'shift-b': 'write' });
  try {
    await healing(browser, g);
    await glance(browser, g);
    await whoMayWrite(browser, g);
    await writing(browser, g);
    await desired(browser, g);
    await approval(browser, g);
    await phone(browser, g);
  } finally {
    await g.stop();
  }
}
