"""simple-salesforce, the community's Python client, against the Salesforce emulator.

The client always speaks https; its documented `session` parameter takes a transport that reaches the emulator over http on
loopback. Nothing of the client itself is changed.
"""

import os
import sys

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest, SalesforceResourceNotFound

URL = os.environ["SALESFORCE_URL"]
KEY = "Hubforce_HubSpot_Id__c"


class Loopback(HTTPAdapter):
    """Carries https requests of any host to the emulator."""

    def send(self, request, **options):
        path = request.url.split("/", 3)[3]
        request.url = f"{URL}/{path}"
        return super().send(request, **options)


def session():
    made = requests.Session()
    made.mount("https://", Loopback())
    return made


def refused(error, run):
    try:
        run()
    except error as caught:
        return caught
    raise AssertionError(f"expected {error.__name__}")


def check_sign_in():
    client = Salesforce(username="person@example.com", password="person-password", security_token="", session=session())
    assert client.session_id
    return client


def check_records(client):
    made = client.Lead.create({"LastName": "Curie", "Company": "Radium", "Email": "marie@example.com"})
    assert made["success"]
    assert client.Lead.update(made["id"], {"City": "Paris"}) == 204
    read = client.Lead.get(made["id"])
    assert read["City"] == "Paris" and read["Phone"] is None
    assert client.Lead.upsert(f"{KEY}/777", {"LastName": "U", "Company": "C"}) == 201
    assert client.Lead.upsert(f"{KEY}/777", {"LastName": "U2", "Company": "C"}) == 200
    assert client.Lead.get_by_custom_id(KEY, "777")["LastName"] == "U2"
    assert client.Lead.delete(made["id"]) == 204
    refused(SalesforceResourceNotFound, lambda: client.Lead.get(made["id"]))


def check_queries(client):
    for number in range(3):
        client.Contact.create({"LastName": f"Query {number}", "Email": f"q{number}@example.com"})
    rows = list(client.query_all_iter("SELECT Id, Email FROM Contact WHERE LastName LIKE 'Query %' ORDER BY Email"))
    assert [row["Email"] for row in rows] == [f"q{number}@example.com" for number in range(3)], rows
    refused(SalesforceMalformedRequest, lambda: client.query("SELECT Nope FROM Contact"))


def check_metadata(client):
    assert any(field["name"] == "Email" for field in client.Lead.describe()["fields"])
    assert client.limits()["DailyApiRequests"]["Max"] > 0
    assert client.api_usage["api-usage"].used > 0


def check_replication(client):
    import datetime

    now = datetime.datetime.now(datetime.timezone.utc)
    start = now - datetime.timedelta(minutes=10)
    end = now + datetime.timedelta(minutes=2)
    assert client.Lead.updated(start, end)["ids"]
    assert client.Lead.deleted(start, end)["deletedRecords"]


def check_wrong_session(_client):
    stranger = Salesforce(instance="127.0.0.1", session_id="00Dwrong!token", session=session())
    refused(SalesforceExpiredSession, lambda: stranger.query("SELECT Id FROM Lead"))


def main():
    passed = failed = 0
    client = check_sign_in()
    for run in (check_records, check_queries, check_metadata, check_replication, check_wrong_session):
        try:
            run(client)
            passed += 1
            print(f"ok   {run.__name__}")
        except Exception as error:  # every failure is reported, whatever it is
            failed += 1
            print(f"FAIL {run.__name__}: {error!r}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
