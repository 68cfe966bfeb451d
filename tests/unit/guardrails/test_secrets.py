"""Secrets in the places where people leave them, and what only looks like one.

The values are made up here; the parts of well-known formats are joined at run time so that scanners of repositories
have nothing to report.
"""

from itertools import chain

import pytest

from greffier.guardrails.detectors.secret_assigned import kind_of
from greffier.guardrails.detectors.secrets import CONTEXTS, FORMATS, Secrets
from greffier.guardrails.engine import resolve
from greffier.guardrails.ports import Passage

SECRETS = Secrets()
HEX = "7c1f09ab54de8832b6c05e917af4d2c3"
LONG = "Zq4vT9xW2mKd7RbYh3NpLc8sFgJ5uE6a"
PEM = "-----BEGIN " + "PRIVATE KEY-----\n" + "\n".join([LONG * 2] * 3) + "\n-----END " + "PRIVATE KEY-----"


def found(text: str) -> list[str]:
    return [text[f.start : f.end] for f in resolve(SECRETS.examine(Passage(text)))]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"SLACK_SIGNING_SECRET={HEX}\nPORT=8080", HEX),
        ("export SMTP_PASS=Pelikan77", "Pelikan77"),
        (f"APP_KEY=base64:{LONG}=", LONG),
        ("spring.datasource.password=QRZTLVHG", "QRZTLVHG"),
        ("db:\n  password: Moorhuhn-7-Laterne\n  port: 5432", "Moorhuhn-7-Laterne"),
        ('- name: MQTT_PASSWORD\n  value: "mosquito-Net-4"', "mosquito-Net-4"),
        ('{"ParameterKey": "DbPassword", "ParameterValue": "qIe2pLIwrWO0pLRO"}', "qIe2pLIwrWO0pLRO"),
        ("set SMBPass Summer2022!", "Summer2022"),
        ("bindpw Amsel.Drossel3", "Amsel.Drossel3"),
        ('connect("localhost", "root", "Rathaus#1", "permits")', "Rathaus#1"),
        ('{"name": "SMTP_PASSWORD", "value": "Wanderweg.12x"}', "Wanderweg.12x"),
        (r"{\"db_password\":\"aB3$kkPz91\"}", "aB3$kkPz91"),
        ("<AdministratorPassword><Value>Kiosk-Setup!55</Value></AdministratorPassword>", "Kiosk-Setup!55"),
        ('<add key="SendApiKey" value="' + LONG + '"/>', LONG),
        ('variable "db_password" {\n  default = "Aurora.Dawn!7"\n}', "Aurora.Dawn!7"),
        ("define('DB_PASSWORD', 'pK7$wq!Zt2');", "pK7$wq!Zt2"),
        ("'password' => 'Blumen.Kohl1'", "Blumen.Kohl1"),
        ('#define WIFI_PASS "Bastelkeller4"', "Bastelkeller4"),
        ('let jwtSecret = process.env.JWT || "zitrone-im-Tee-42"', "zitrone-im-Tee-42"),
        ('mail.setPassword("St7E01ZXNKZG");', "St7E01ZXNKZG"),
        ('requests.get(u, auth=HTTPBasicAuth("svc", "R3dTape!x"))', "R3dTape!x"),
        ("machine api.example login robot password Tr4mpolin", "Tr4mpolin"),
        ("postgresql+asyncpg://app:k3Y-of.Db@pg:5432/x", "k3Y-of.Db"),
        ("Server=db;Uid=crm;Pwd=Leim2Topf;Encrypt=yes", "Leim2Topf"),
        ("jdbc:oracle:thin:core/8inplbuw1Y@//ora:1521/P", "8inplbuw1Y"),
        ("10.0.0.5:5432:billing:ro:hZ71kqpw", "hZ71kqpw"),
        ("redis-cli -h c -a n0tSoSecret1 ping", "n0tSoSecret1"),
        ("mysqldump -u b -pKrpVu3Yu! shop", "KrpVu3Yu!"),
        ("curl -u ci:Th1s-is-it https://ci.example", "Th1s-is-it"),
        ("openssl pkcs12 -in c.p12 -passin pass:Kaktus-9", "Kaktus-9"),
        ("CREATE USER x IDENTIFIED BY 'pferd!Stall8'", "pferd!Stall8"),
        ("username netops privilege 15 password 0 Patchpanel#9", "Patchpanel#9"),
        ("snmp-server community r3adTheSwitch RO", "r3adTheSwitch"),
        ("WIFI:T:WPA;S:Kanzlei;P:Aktenzeichen-7;;", "Aktenzeichen-7"),
        ("otpauth://totp/X:a?secret=O4NB4NOM4FXPXSCB&issuer=X", "O4NB4NOM4FXPXSCB"),
        (f"GET /x?access_token={LONG} HTTP/1.1", LONG),
        (f"X-Vault-Token: {LONG}", LONG),
        (f'"kty":"EC","x":"abc","d":"{LONG}"', LONG),
        ("service;login;credential\nprint;prn_adm;T0ner&Drum", "T0ner&Drum"),
        ("| NAS | Kennwort |\n|---|---|\n| a | Speicher%Platz1 |", "Speicher%Platz1"),
        ("BitLocker " + "-".join(str(n) for n in range(481500, 481508)), "481500-481501-481502-481503"),
    ],
)
def test_assigned_in_every_syntax(text: str, secret: str) -> None:
    assert any(secret in value or value in secret for value in found(text)), found(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("the wifi pw at the cottage is BlueHeron22, same as last year", "BlueHeron22"),
        ('The password for the archive is "Osprey-Lantern".', "Osprey-Lantern"),
        ("The passphrase for the tape is velvet ostrich quarry ninety, in lower case.", "velvet ostrich quarry ninety"),
        ("my online banking PIN is 580213 and it is locked", "580213"),
        ("so the vault combination is 31-07-92 right?", "31-07-92"),
        ("recovery codes are h7k2-99dq p3mm-41xz", "p3mm-41xz"),
        ("lost my phone, the 2fa seed i saved is E2DYGRUXX24FH7KT", "E2DYGRUXX24FH7KT"),
        (f"the okta api token for the HR sync is {LONG}, it expires", LONG),
        ("use Tulpenfeld22 as the password for the zip", "Tulpenfeld22"),
        ("Jo: same as last time, sa / Winter#2023Pay", "Winter#2023Pay"),
        ("ssh doesnt work, karen changed it to notRaspberry9", "notRaspberry9"),
        ("router lobby 192.168.0.1 admin Gecko4711", "Gecko4711"),
        ("can u check if Fluffy2015! is a good password for my bank", "Fluffy2015!"),
        (f"I used the key you gave me, {LONG}{LONG}, and it worked", LONG),
        ("Temp creds for vendor: vpn_ext07 / Zeder&Kiefer4 until Friday", "Zeder&Kiefer4"),
        ("Spotify: lea@example.org Disco#Fox88", "Disco#Fox88"),
        ("das Passwort zur beigefügten Datei lautet Rente$2031plus.", "Rente$2031plus"),
        ("passwort vergessen? nein, es ist bananenbrot42 wie immer", "bananenbrot42"),
        ("Wer das Masterpasswort vom KeePass (SchlossTeich#Ente9) postet", "SchlossTeich#Ente9"),
        ("Die Zip ist mit Notar-2025-Akte verschlüsselt.", "Notar-2025-Akte"),
        ("le mdp du compte admin de la mairie cest Platane1789", "Platane1789"),
        ("le code de la porte c'est B2749 et après à gauche", "B2749"),
        ("cambié la contraseña a Abanico_Rojo1 ayer", "Abanico_Rojo1"),
        ("la password del gestionale è Limoncello_Sorrento9", "Limoncello_Sorrento9"),
        ("het wachtwoord van de zaal is Stroopwafel!Fiets3", "Stroopwafel!Fiets3"),
        ("de code van het alarm is 3907 en dan sterretje", "3907"),
    ],
)
def test_told_in_six_languages(text: str, secret: str) -> None:
    assert any(secret in value or value in secret for value in found(text)), found(text)


@pytest.mark.parametrize(
    "value",
    [
        "xkeysib-" + HEX * 2 + "-PUdFxZ46Fu0L9Kh2",
        "tskey-auth-" + "kFq3pZ9vLm2C-" + LONG,
        "CFPAT-" + LONG + "abcdefg1234",
        "pat-eu1-" + "0391c8d3-ddcf-42e6-9843-3f494f3ed5be",
        "shippo_live_" + HEX + "01234567",
        "1//0" + LONG + LONG,
        "ABSK" + LONG * 4,
        "00D9NuCZOX8LYx3!" + LONG * 3,
        "https://hooks.zapier.com/hooks/catch/1234987/b3k9fq2",
        PEM,
    ],
)
def test_formats_of_vendors_need_no_label(value: str) -> None:
    assert found(f"look: {value} there")


@pytest.mark.parametrize(
    "text",
    [
        "Copy .env.example and fill in DB_PASSWORD=changeme, JWT_SECRET=replace-with-32-random-chars",
        'curl -u "$JENKINS_USER:$JENKINS_TOKEN" https://ci.example/job',
        "-----BEGIN " + "PRIVATE KEY-----\n(paste your key here)\n-----END " + "PRIVATE KEY-----",
        "DB_PASS=file:/run/secrets/db_pass",
        'var password = Configuration.GetValue<string>("Sql:Password");',
        "vault_password_file = ~/.bin/vault-from-keyring.sh",
        "mongodb+srv://<user>:<password>@cluster0.example.net/test",
        "postgres://USER:PASSWORD@HOST:PORT/DB",
        f"golang.org/x/net v0.33.0 h1:{LONG}Ab3dE6gH9jK=",
        "pk_" + "test_vh9ik6QXYxRy56IUHc1TGZLB may be embedded",
        f"[Peer]\nPublicKey = {LONG}Ab3dE6gH9jK=",
        f'"private_key_id": "{HEX}", "kid": "{HEX}", "token_uri": "https://x.example/token2"',
        "password_hash = '$2b$12$" + LONG + "'",
        "api_key: ENC[AES256_GCM,data:abc,iv:lg2tSzk6UoQmAOuu,tag:x1]",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd",
        "const isPasswordValid = await bcrypt.compare(plain2, user.passwordHash);",
        "PRIMARY KEY (tenant_id, order_id2), FOREIGN KEY (sku7) REFERENCES items",
        "Your password must be at least 12 characters and include 1 digit.",
        "I changed my password on 2025-03-11 and login fails with error AADSTS50126.",
        "Account 4711-0815 is locked, ticket INC0012345 refers.",
        "boarding pass for LH1234, seat 14C, gate B22",
        "Das Kennwort hat 12 Zeichen, davon 2 Ziffern; Richtlinie IT-07.",
        "Le mot de passe expire dans 14 jours, code postal 75011.",
        "La clave catastral es 9872023 VH5797S 0001.",
        "Windows11 users sign in with Windows Hello, Office365 users with MFA.",
        "The max_tokens parameter is 4096 for gpt-4o-mini.",
        f"hash of password: {HEX}{HEX}",
        f"md5sum key.pem: {HEX}",
        "def unix_getpass(prompt='Password: ', stream=None): pass",
        "private_key: ed25519.Ed25519PrivateKey, password: Optional[bytes]",
        "merkle root f49f2a0722ca6473855181fd54a1a2ba6f96006b",
        "order 7F3K-99QX-LMP2, serial C0267U6B2DCK",
    ],
)
def test_what_only_looks_like_a_secret(text: str) -> None:
    assert not found(text)


def test_the_name_says_what_the_value_is() -> None:
    assert kind_of("DB_PASSWORD", "") == "password"
    assert kind_of("db_password_file", "") == ""
    assert kind_of("aws_secret_access_key", "") == "key"
    assert kind_of("privateKeyId", "") == ""
    assert kind_of("publicKey", "") == ""
    assert kind_of("key", "the primary ") == ""
    assert kind_of("client_secret", "") == "secret"
    assert kind_of("boarding_pass", "") == ""


def test_every_rule_of_the_packs_has_a_name_of_its_own() -> None:
    names = [pattern.id for pattern in chain(FORMATS, CONTEXTS)]
    assert len(names) == len(set(names))
