"""Contacts with several alphabets, missing values, free-text phones and one invalid date."""

from __future__ import annotations

import random
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

CONTACTS = 2_000

FIRST_NAMES = (
    *("Zoë", "Łukasz", "Søren", "Ngọc", "José", "Anaïs", "Dmitri", "Žofia", "O'Brien", "Mary-Jane"),
    *("健太", "سارة", "Παναγιώτης", "Ольга", "संजय", "민준", "Bjørk", "Günther", "Ola", "Chloé"),
)
LAST_NAMES = (
    *("Müller", "García Márquez", "Nguyễn", "Ó Súilleabháin", "Smith", "Kowalczyk-Nowak"),
    *("佐藤", "الهاشمي", "Παπαδόπουλος", "Иванова", "d'Angelo", "van der Berg", "de la Cruz"),
)
CITIES = (
    ("10115", "Berlin", "DE"),
    ("00-950", "Warszawa", "PL"),
    ("75001", "Paris", "FR"),
    ("100-0001", "東京", "JP"),
    (None, "Dublin", "IE"),
)
PHONES = ("+49 30 {n:07}", "0049-30-{n:07}", "(030) {n:07}", "+1 (555) {n:07} ext. 4", None, "")
TIERS = ("bronze", "silver", "gold", None)

TABLE = """
DROP TABLE IF EXISTS contacts;
CREATE TABLE contacts (
    contact_id     text PRIMARY KEY,
    full_name      text,
    email          text,
    phone          text,
    born_on        text,
    street         text,
    postal_code    text,
    city           text,
    country        char(2),
    tier           text,
    lifetime_value numeric(12, 2),
    newsletter     boolean,
    tags           jsonb,
    extras         jsonb,
    updated_at     timestamptz NOT NULL
);
"""

INSERT = """
INSERT INTO contacts VALUES (
    %(contact_id)s, %(full_name)s, %(email)s, %(phone)s, %(born_on)s, %(street)s,
    %(postal_code)s, %(city)s, %(country)s, %(tier)s, %(lifetime_value)s, %(newsletter)s,
    %(tags)s, %(extras)s, now() - make_interval(days => 30, secs => %(number)s)
)
"""


def contact_id(number: int) -> str:
    """The key of a contact."""
    return f"CRM-{number:06}"


def contact(number: int, rng: random.Random) -> dict[str, Any]:
    """One contact, repeatable by `number` and `rng`."""
    name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
    postal_code, city, country = rng.choice(CITIES)
    phone = rng.choice(PHONES)
    return {
        "number": number,
        "contact_id": contact_id(number),
        "full_name": name,
        "email": None if number % 9 == 0 else f"contact.{number}@example.com",
        "phone": phone and phone.format(n=rng.randrange(10**7)),
        # The last contact has an invalid date, as from a free-text form.
        "born_on": "1990-02-31" if number == CONTACTS else f"19{rng.randrange(50, 99)}-04-12",
        "street": None if number % 5 == 0 else f"{rng.choice(LAST_NAMES)}-Straße {number % 200}",
        "postal_code": postal_code,
        "city": city,
        "country": country,
        "tier": rng.choice(TIERS),
        "lifetime_value": rng.randrange(10**7) / 100,
        "newsletter": rng.choice((True, False, None)),
        "tags": Jsonb(rng.sample(["vip", "b2b", "churn-risk", "événement"], rng.randrange(3))),
        "extras": Jsonb({"utm": {"source": rng.choice(["ads", "blog"])}, "note": "“ok” 👍"}),
    }


def fill(address: str, contacts: int = CONTACTS) -> None:
    """Create and fill the table of contacts; the last one of `CONTACTS` is refused."""
    rng = random.Random(7)  # noqa: S311 - the same contacts each time
    with psycopg.connect(address) as connection:
        connection.execute(TABLE)
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, [contact(n, rng) for n in range(1, contacts + 1)])


def change(address: str, contacts: int) -> None:
    """Change contacts: one in five gets a new city, all a new tier."""
    with psycopg.connect(address) as connection:
        connection.execute(
            """
            UPDATE contacts
            SET tier = 'platinum', city = CASE WHEN n %% 5 = 0 THEN 'Kraków' ELSE city END,
                updated_at = now()
            FROM (SELECT contact_id AS id, row_number() OVER (ORDER BY contact_id) AS n
                  FROM contacts LIMIT %s) AS chosen
            WHERE contact_id = chosen.id
            """,
            (contacts,),
        )


def count(address: str, table: str) -> int:
    """The number of rows of a table in the CRM."""
    with psycopg.connect(address) as connection:
        query = psycopg.sql.SQL("SELECT count(*) FROM {}").format(
            psycopg.sql.Identifier(*table.split("."))
        )
        row = connection.execute(query).fetchone()
        return 0 if row is None else int(row[0])
