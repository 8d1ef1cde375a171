// HubSpot's official Node client against the HubSpot emulator, and its signature helper against the webhooks it sends.
'use strict';
const assert = require('node:assert');
const http = require('node:http');
const { Client, Signature } = require('@hubspot/api-client');
const { check, finish, post } = require('./check');

const url = process.env.HUBSPOT_URL;
const clientSecret = 'client-check-secret';
const person = new Client({ accessToken: 'pat-person', basePath: url, numberOfApiCallRetries: 0 });
const integration = new Client({ accessToken: 'pat-integration', basePath: url, numberOfApiCallRetries: 0 });

async function status(promise) {
  try {
    await promise;
  } catch (error) {
    return error.code;
  }
  return 200;
}

async function main() {
  const contacts = person.crm.contacts;
  let id;
  await check('a contact is created and read back', async () => {
    const made = await contacts.basicApi.create({ properties: { email: 'Ada@Example.com', firstname: 'Ada', lastname: 'Lovelace' } });
    id = made.id;
    const read = await contacts.basicApi.getById(id, ['email', 'firstname', 'phone']);
    assert.strictEqual(read.properties.firstname, 'Ada');
    assert.strictEqual(read.properties.phone, null);
    assert.strictEqual(read.properties.email, 'ada@example.com');
  });
  await check('the same address again is a conflict that names the existing record', async () => {
    await assert.rejects(contacts.basicApi.create({ properties: { email: 'ada@example.com' } }), (error) => {
      assert.strictEqual(error.code, 409);
      assert.match(error.body.message, new RegExp(`Existing ID: ${id}`));
      return true;
    });
  });
  await check('a contact is found by its address, in a batch', async () => {
    const read = await contacts.batchApi.read({ idProperty: 'email', properties: ['email'], propertiesWithHistory: [], inputs: [{ id: 'ada@example.com' }] });
    assert.deepStrictEqual(read.results.map((result) => result.id), [id]);
  });
  await check('an update is seen, a blank clears', async () => {
    await contacts.basicApi.update(id, { properties: { phone: '+44 1', firstname: '' } });
    const read = await contacts.basicApi.getById(id, ['phone', 'firstname']);
    assert.strictEqual(read.properties.phone, '+44 1');
    assert.strictEqual(read.properties.firstname, null);
  });
  await check('an unknown property is refused with its code', async () => {
    await assert.rejects(contacts.basicApi.update(id, { properties: { nosuch: 'x' } }), (error) => {
      assert.strictEqual(error.code, 400);
      assert.strictEqual(error.body.errors[0].code, 'PROPERTY_DOESNT_EXIST');
      return true;
    });
  });
  await check('batch create, update and archive carry many records', async () => {
    const inputs = [1, 2, 3].map((n) => ({ properties: { email: `batch${n}@example.com` }, associations: [], objectWriteTraceId: `${n}` }));
    const made = await contacts.batchApi.create({ inputs });
    assert.strictEqual(made.results.length, 3);
    const changed = await contacts.batchApi.update({ inputs: made.results.map((result) => ({ id: result.id, properties: { city: 'Bonn' } })) });
    assert.ok(changed.results.every((result) => result.properties.city === 'Bonn'));
    await contacts.batchApi.archive({ inputs: made.results.map((result) => ({ id: result.id })) });
    assert.strictEqual(await status(contacts.basicApi.getById(made.results[0].id)), 404);
  });
  await check('pages are followed to the end', async () => {
    const all = await contacts.getAll(2, undefined, ['email']);
    assert.ok(all.some((contact) => contact.id === id));
  });
  await check('a search finds what changed of late, page by page', async () => {
    const since = { propertyName: 'lastmodifieddate', operator: 'GTE', value: `${Date.now() - 60_000}` };
    const sort = JSON.stringify({ propertyName: 'lastmodifieddate', direction: 'ASCENDING' });
    const request = { filterGroups: [{ filters: [since] }], sorts: [sort], properties: ['email'], limit: 1 };
    const first = await contacts.searchApi.doSearch(request);
    assert.ok(first.total >= 1 && first.results.length === 1);
    const future = { ...since, value: `${Date.now() + 60_000}` };
    const none = await contacts.searchApi.doSearch({ ...request, filterGroups: [{ filters: [future] }] });
    assert.strictEqual(none.total, 0);
    assert.strictEqual(await status(contacts.searchApi.doSearch({ ...request, limit: 201 })), 400);
  });
  await check('deleted records have a list of their own, properties a history', async () => {
    const deleted = await contacts.basicApi.getPage(10, undefined, ['email'], undefined, undefined, true);
    assert.ok(deleted.results.length >= 3 && deleted.results.every((result) => result.archived && result.archivedAt));
    const read = await contacts.batchApi.read({ properties: [], propertiesWithHistory: ['firstname'], inputs: [{ id }] });
    const values = read.results[0].propertiesWithHistory.firstname.map((version) => version.value);
    assert.deepStrictEqual(values, ['', 'Ada']);
  });
  await check('members of a list come in the order in which they joined', async () => {
    await post(`${url}/_control/list`, { list: '77', members: [Number(id)] });
    const page = await person.crm.lists.membershipsApi.getPageOrderedByAddedToListDate('77', undefined, undefined, 100);
    assert.deepStrictEqual(page.results.map((member) => member.recordId), [id]);
  });
  await check('properties describe themselves', async () => {
    const properties = await person.crm.properties.coreApi.getAll('contacts');
    const email = properties.results.find((property) => property.name === 'email');
    assert.strictEqual(email.type, 'string');
  });
  await check('a wrong token is refused', async () => {
    const stranger = new Client({ accessToken: 'wrong', basePath: url, numberOfApiCallRetries: 0 });
    assert.strictEqual(await status(stranger.crm.contacts.basicApi.getById(id)), 401);
  });
  await check('webhooks carry a signature that the vendor\'s helper accepts, and the right author', async () => {
    const received = [];
    const arrived = new Promise((resolve) => {
      const server = http.createServer((request, response) => {
        const parts = [];
        request.on('data', (part) => parts.push(part));
        request.on('end', () => {
          received.push({ headers: request.headers, body: Buffer.concat(parts).toString('utf8') });
          response.end();
          if (received.flatMap((one) => JSON.parse(one.body)).some((event) => event.changeSource === 'INTEGRATION')) {
            server.close();
            resolve();
          }
        });
      });
      server.listen(0, '127.0.0.1', async () => {
        const target = `http://127.0.0.1:${server.address().port}/hook?who=check`;
        received.target = target;
        await post(`${url}/_control/webhooks`, { targets: [{ url: target, client_secret: clientSecret }] });
        await person.crm.contacts.basicApi.update(id, { properties: { city: 'Zoë — café' } });
        await integration.crm.contacts.basicApi.update(id, { properties: { city: 'Köln' } });
      });
    });
    await arrived;
    for (const { headers, body } of received) {
      const valid = Signature.isValid({
        signatureVersion: 'v3',
        clientSecret,
        method: 'POST',
        url: received.target,
        requestBody: body,
        signature: headers['x-hubspot-signature-v3'],
        timestamp: Number(headers['x-hubspot-request-timestamp']),
      });
      assert.ok(valid, 'the signature helper refused a webhook');
    }
    const events = received.flatMap((one) => JSON.parse(one.body)).filter((event) => event.propertyName === 'city');
    assert.deepStrictEqual(new Set(events.map((event) => event.changeSource)), new Set(['CRM_UI', 'INTEGRATION']));
    await post(`${url}/_control/webhooks`, { targets: [] });
  });
  finish();
}

main();
