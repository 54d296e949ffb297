"""Dire en français ce qui s'est passé quand l'erreur ne le dit pas : sur le réseau, sur le disque, dans une base.

De ccxt, on n'a que « binance GET https://… » : la cause, l'hôte, que faire.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from typing import Any

from annexes_ccxt_fr.place import CONSEIL_PLACE
from module_ccxt_fr_v2 import CONSEIL_DISQUE, CONSEIL_RESEAU, decimal_lisible

_CONSEIL_NOM = "Vérifiez la connexion et le DNS de cette machine ; derrière un proxy, donnez --proxy."
_CONSEIL_CERTIFICAT = (
    "Vérifiez l'heure de la machine ; si un proxy d'entreprise ouvre le TLS, donnez son autorité par SSL_CERT_FILE."
)
_CONSEIL_ADRESSE = "Vérifiez l'adresse (--config-ccxt, clé « urls »), ou le proxy qui la garde."
# (classes de l'erreur ou de ce qui l'a causée, ce qui s'est passé, conseil), de la plus précise à la plus générale.
# Ajouter une cause : une ligne, ici seulement.
CAUSES_RESEAU: tuple[tuple[set[str], str, str], ...] = (
    (
        {"ClientProxyConnectionError", "ClientHttpProxyError", "ProxyError", "ProxyConnectionError"},
        "proxy injoignable ou qui refuse",
        "Vérifiez --proxy : adresse, port, identifiants.",
    ),
    ({"ClientConnectorCertificateError", "SSLCertVerificationError"}, "certificat TLS refusé", _CONSEIL_CERTIFICAT),
    ({"ClientConnectorSSLError", "SSLError"}, "échec du TLS", _CONSEIL_CERTIFICAT),
    ({"ClientConnectorDNSError", "gaierror"}, "nom introuvable", _CONSEIL_NOM),
    ({"ConnectionRefusedError"}, "connexion refusée", CONSEIL_RESEAU),
    ({"TimeoutError"}, "pas de réponse", f"{CONSEIL_RESEAU} Ou allongez --timeout."),
    (
        {"ConnectionResetError", "BrokenPipeError", "ServerDisconnectedError"},
        "connexion coupée par l'autre bout",
        CONSEIL_RESEAU,
    ),
    ({"ClientPayloadError"}, "réponse coupée en route", CONSEIL_RESEAU),
    ({"WSServerHandshakeError"}, "le WebSocket ne s'ouvre pas", _CONSEIL_ADRESSE),
    ({"InvalidURL"}, "adresse illisible", _CONSEIL_ADRESSE),
    ({"ClientConnectorError"}, "hôte injoignable", CONSEIL_RESEAU),
)
_HOTE = re.compile(r"\b(?:https?|wss?)://(?:[^/?#\s@]*@)?([^/?#\s@]+)")


def cause_reseau(erreur: Exception, texte: str) -> tuple[str, str] | None:
    """Ce qui s'est passé, chez quel hôte, et que faire ; None si rien dans la chaîne des erreurs n'est du réseau."""
    chaine = _chaine(erreur)
    noms = {parente.__name__ for maillon in chaine for parente in type(maillon).__mro__}
    for classes, cause, conseil in CAUSES_RESEAU:
        if noms & classes:
            delai_ms = getattr(erreur, "delai_ms", 0) if "TimeoutError" in noms else 0
            duree = decimal_lisible(f" en {delai_ms / 1000:g} s") if delai_ms else ""
            dite = _HOTE.search(texte)
            hote = next((_adresse(m) for m in chaine if getattr(m, "host", None)), dite[1] if dite else "")
            codes = (getattr(maillon, "status", None) for maillon in chaine)
            code = next((f" (code {dit})" for dit in codes if dit), "")
            return f"{cause}{code}{duree}{f' : {hote}' if hote else ''}", conseil
    return None


def _chaine(erreur: BaseException) -> list[BaseException]:
    """L'erreur, ce qu'elle porte (ccxt.pro : `NetworkError(erreur)`) et ce qui l'a causée, de proche en proche."""
    maillons: list[BaseException] = []
    a_voir: list[Any] = [erreur]
    while a_voir:
        maillon = a_voir.pop(0)
        if isinstance(maillon, BaseException) and not any(maillon is vu for vu in maillons):
            maillons.append(maillon)
            a_voir += [*maillon.args, maillon.__cause__, getattr(maillon, "os_error", None)]
    return maillons


def _adresse(erreur: Any) -> str:
    port = getattr(erreur, "port", None)
    return f"{erreur.host}:{port}" if port not in (None, 80, 443) else str(erreur.host)


CAUSES_DISQUE = {
    errno.ENOSPC: ("le disque est plein", CONSEIL_PLACE),
    errno.EDQUOT: ("le quota de disque est atteint", CONSEIL_PLACE),
    errno.EACCES: ("l'accès est refusé", "Vérifiez les droits du dossier et du fichier."),
    errno.EPERM: ("l'accès est refusé", "Vérifiez les droits du dossier et du fichier."),
    errno.EROFS: ("le disque est en lecture seule", "Choisissez une sortie sur un disque où l'on peut écrire."),
    errno.EISDIR: ("c'est un dossier", "Donnez un nom de fichier."),
    errno.ENOTDIR: ("un des dossiers du chemin est un fichier", "Corrigez le chemin de la sortie."),
    errno.EEXIST: ("un des dossiers du chemin est un fichier", "Corrigez le chemin de la sortie."),
    errno.EFBIG: ("le fichier dépasse la taille permise", "Relevez la limite (ulimit -f), ou changez de disque."),
    errno.ELOOP: ("ses liens symboliques tournent en rond", "Corrigez le chemin de la sortie."),
    errno.ENAMETOOLONG: ("le nom est trop long", "Donnez un nom de sortie plus court."),
    errno.ENOENT: ("il n'existe pas", "Vérifiez le chemin de la sortie."),
    errno.EIO: ("le disque rend une erreur", "Contrôlez ce disque, ou choisissez-en un autre."),
    errno.EBUSY: ("il est occupé", "Attendez, ou fermez ce qui le tient."),
    errno.EMFILE: ("trop de fichiers sont ouverts", "Relevez la limite (ulimit -n)."),
    errno.ENFILE: ("trop de fichiers sont ouverts", "Fermez d'autres programmes."),
    errno.ENOMEM: ("la mémoire manque", "Fermez d'autres programmes."),
    errno.EINVAL: ("le système n'admet pas ce nom, ou pas cette opération", "Choisissez une autre sortie."),
    errno.ENOLCK: ("ce disque ne sait pas verrouiller", "Choisissez une sortie sur un autre disque."),
    errno.ESTALE: ("le disque du réseau l'a perdu", "Vérifiez le partage, puis relancez."),
}


def cause_disque(erreur: OSError) -> tuple[str, str]:
    """En français, et non ce qu'en dit le système ; d'une cause qu'on ne connaît pas, son nom. Et que faire."""
    numero = erreur.errno or 0
    nom = errno.errorcode.get(numero, f"erreur {numero}") if numero else str(erreur)
    return CAUSES_DISQUE.get(numero, (f"le système le refuse ({nom})", CONSEIL_DISQUE))


# De quoi la base est illisible, il n'y a rien à conseiller : elle sera mise de côté.
CAUSES_SQLITE = {
    sqlite3.SQLITE_FULL: CAUSES_DISQUE[errno.ENOSPC],
    sqlite3.SQLITE_LOCKED: ("un autre programme la tient", "Fermez ce programme, puis relancez."),
    sqlite3.SQLITE_READONLY: ("elle est en lecture seule", "Vérifiez les droits de la base et de son dossier."),
    sqlite3.SQLITE_PERM: CAUSES_DISQUE[errno.EACCES],
    sqlite3.SQLITE_CANTOPEN: ("elle ne s'ouvre pas", "Vérifiez le chemin de la sortie, et les droits du dossier."),
    sqlite3.SQLITE_IOERR: CAUSES_DISQUE[errno.EIO],
    sqlite3.SQLITE_NOMEM: CAUSES_DISQUE[errno.ENOMEM],
    sqlite3.SQLITE_CORRUPT: ("ses pages se contredisent", ""),
    sqlite3.SQLITE_NOTADB: ("ce n'est pas une base SQLite", ""),
}


def cause_sqlite(erreur: Any) -> tuple[str, str]:
    """En français, et non ce qu'en dit SQLite ; d'une cause qu'on ne connaît pas, son nom. Et que faire."""
    code = getattr(erreur, "sqlite_errorcode", None)
    if code is None:  # levée par nous (`_controler_pages`), ou par Python, d'un texte
        pages = type(erreur) is sqlite3.DatabaseError
        return "ses pages se contredisent" if pages else "un texte n'y est pas de l'UTF-8", ""
    return CAUSES_SQLITE.get(code & 0xFF, (f"SQLite le refuse ({erreur.sqlite_errorname})", CONSEIL_DISQUE))
