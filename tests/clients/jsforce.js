// jsforce, the community's JavaScript client, against the Salesforce emulator.
'use strict';
const assert = require('node:assert');
const jsforce = require('jsforce');
const { check, finish } = require('./check');

const url = process.env.SALESFORCE_URL;
const key = 'Hubforce_HubSpot_Id__c';

async function main() {
  const connection = new jsforce.Connection({ loginUrl: url, version: '62.0' });
  let id;
  await check('a person signs in over SOAP', async () => {
    const user = await connection.login('person@example.com', 'person-password');
    assert.match(user.organizationId, /^00D/);
  });
  await check('the integration signs in with client credentials', async () => {
    const machine = new jsforce.Connection({ instanceUrl: url, oauth2: { clientId: 'integration-client', clientSecret: 'integration-secret', loginUrl: url } });
    await machine.authorize({ grant_type: 'client_credentials' });
    const identity = await machine.query('SELECT Id FROM Organization');
    assert.strictEqual(identity.totalSize, 1);
  });
  await check('a lead is created, read, changed and deleted', async () => {
    const made = await connection.sobject('Lead').create({ LastName: 'Hopper', Company: 'Navy', Email: 'grace@example.com' });
    assert.ok(made.success);
    id = made.id;
    await connection.sobject('Lead').update({ Id: id, Title: 'Admiral' });
    const read = await connection.sobject('Lead').retrieve(id);
    assert.strictEqual(read.Title, 'Admiral');
    assert.strictEqual(read.Name, 'Hopper');
  });
  await check('a missing field is refused with its code', async () => {
    await assert.rejects(connection.sobject('Lead').create({ Company: 'X' }), { errorCode: 'REQUIRED_FIELD_MISSING' });
  });
  await check('many rows go in one call, each with its own outcome', async () => {
    const rows = await connection.sobject('Contact').create([{ LastName: 'A', Email: 'a@example.com' }, { FirstName: 'B' }], { allOrNone: false });
    assert.deepStrictEqual(rows.map((row) => row.success), [true, false]);
  });
  await check('an upsert by external id creates once and then updates', async () => {
    const first = await connection.sobject('Lead').upsert({ [key]: '901', LastName: 'K', Company: 'C' }, key);
    const again = await connection.sobject('Lead').upsert({ [key]: '901', LastName: 'K2', Company: 'C' }, key);
    assert.ok(first.success && again.success);
    const found = await connection.query(`SELECT Id, LastName FROM Lead WHERE ${key} = '901'`);
    assert.deepStrictEqual(found.records.map((record) => record.LastName), ['K2']);
  });
  await check('SOQL finds, escapes and pages', async () => {
    const quoted = await connection.query("SELECT Id FROM Lead WHERE LastName = 'O\\'Neil'");
    assert.strictEqual(quoted.totalSize, 0);
    const found = await connection.sobject('Lead').find({ Email: 'grace@example.com' }, ['Id']);
    assert.deepStrictEqual(found.map((record) => record.Id), [id]);
    const rows = Array.from({ length: 150 }, (_, n) => ({ LastName: `Page ${n}` }));
    await connection.sobject('Contact').create(rows, { allOrNone: false });
    await connection.sobject('Contact').create(rows, { allOrNone: false });
    const records = [];
    await new Promise((resolve, reject) => {
      connection.query("SELECT Id FROM Contact WHERE LastName LIKE 'Page %'", { headers: { 'Sforce-Query-Options': 'batchSize=200' } })
        .on('record', (record) => records.push(record)).on('end', resolve).on('error', reject).run({ autoFetch: true, maxFetch: 1000 });
    });
    assert.strictEqual(new Set(records.map((record) => record.Id)).size, 300);
  });
  await check('objects describe themselves', async () => {
    const lead = await connection.sobject('Lead').describe();
    const field = lead.fields.find((one) => one.name === key);
    assert.ok(field.externalId && field.unique);
  });
  await check('a deleted record is gone for reads and kept for queryAll', async () => {
    await connection.sobject('Lead').destroy(id);
    await assert.rejects(connection.sobject('Lead').retrieve(id));
    const all = await connection.query(`SELECT Id, IsDeleted FROM Lead WHERE Id = '${id}'`, { scanAll: true });
    assert.deepStrictEqual(all.records.map((record) => record.IsDeleted), [true]);
  });
  await check('the API use is told', async () => {
    assert.ok(connection.limitInfo.apiUsage.limit > 0);
  });
  finish();
}

main();
