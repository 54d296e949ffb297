"""Un carnet profond dont le prix va loin, dit à la façon de chaque exchange ; ce qu'il est vraiment à chaque version.

Chaque pas fait trois versions : le niveau que le prix passe quitte son côté, un autre rejoint l'autre côté, et une
quantité change, de quinze à trente niveaux plus loin. D'un niveau plus lointain que l'instantané, le flux ne dit donc
presque jamais rien ; une trame prise de travers laisse un côté faux, jusqu'au retour du prix.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from trames_de_carnets import (
    INSTANT,
    PREMIER,
    Exchange,
    Objet,
    ack_gate,
    ack_kucoin,
    ack_mexc,
    jeton_kucoin,
    rien,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trames_de_carnets import Serveur

COTES = ("bids", "asks")
CENTRE, AMPLITUDE, DERNIER = 100, 40, 200
VERSIONS = 3  # par pas
PAS = 4 * AMPLITUDE
SERVIS = 20  # niveaux de l'instantané, et d'un flux borné
Niveaux = list[list[str]]


def meneur(pas: int) -> int:
    """Le meilleur acheteur : il descend, remonte deux fois plus, redescend."""
    phase = pas % PAS
    return CENTRE - phase if phase <= AMPLITUDE else CENTRE + min(phase - 2 * AMPLITUDE, PAS - phase)


def retouche(pas: int) -> int:
    """Le prix dont la quantité change à ce pas, une fois le prix passé."""
    distance = 15 + pas * 7 % 16
    return meneur(pas + 1) + (distance if pas % 2 else -distance)


@functools.cache
def quantites(pas: int) -> tuple[int, ...]:
    """Celle de chaque prix, à la fin de ce pas."""
    if pas == 0:
        return tuple(1 + prix * 7 % 9 for prix in range(DERNIER + 1))
    avant, touche = quantites(pas - 1), retouche(pas - 1)
    return tuple(1 + (q + 3) % 17 if prix == touche else q for prix, q in enumerate(avant))


@functools.cache
def vrai(version: int) -> dict[str, list[tuple[float, float]]]:
    """Le carnet entier à cette version."""
    pas, sorte = divmod(version, VERSIONS)
    quantite, avant, apres = quantites(pas), meneur(pas), meneur(pas + 1)
    achats = min(avant, apres) if sorte == 1 else apres if sorte else avant
    ventes = (max(avant, apres) if sorte == 1 else apres if sorte else avant) + 1
    return {
        cote: [(float(p), float(quantite[p])) for p in prix]
        for cote, prix in zip(COTES, (range(achats, 0, -1), range(ventes, DERNIER + 1)), strict=True)
    }


class Ecart(NamedTuple):
    """Ce que disent une ou plusieurs versions, de `debut` à `fin` : les niveaux changés."""

    debut: int
    fin: int
    bids: Niveaux
    asks: Niveaux


def ecart(debut: int, fin: int, borne: int = DERNIER) -> Ecart:
    """Les niveaux qui diffèrent du carnet d'avant `debut`, quantité nulle s'ils n'y sont plus.

    `borne` : d'un côté, ceux des tant de premiers niveaux, d'avant ou d'après ; celui qui y entre sans changer n'est
    pas dit.
    """
    avant, apres = vrai(debut - 1), vrai(fin)
    cotes = {}
    for cote in COTES:
        etaient, sont = dict(avant[cote]), dict(apres[cote])
        proches = dict([*avant[cote][:borne], *apres[cote][:borne]])
        changes = [prix for prix in sorted(proches) if etaient.get(prix) != sont.get(prix)]
        cotes[cote] = [[f"{prix:.0f}", f"{sont.get(prix, 0):.0f}"] for prix in changes]
    return Ecart(debut, fin, **cotes)


def servi(version: int) -> tuple[Niveaux, Niveaux]:
    """Les premiers niveaux de chaque côté."""
    achats, ventes = ([[f"{p:.0f}", f"{q:.0f}"] for p, q in vrai(version)[cote][:SERVIS]] for cote in ("bids", "asks"))
    return achats, ventes


NUMERO = 1000  # d'une version, chez les exchanges qui les comptent


@dataclass(frozen=True)
class Raccord:
    """Un exchange dont le carnet part d'un instantané demandé à côté du flux."""

    nom: str
    marche_id: str
    trame: Callable[[Ecart], Objet]
    rest: Callable[[int], Any]  # l'instantané de cette version
    genre: str = "spot"
    par_trame: int = VERSIONS  # versions
    repondre: Callable[[Any], list[Any]] = rien
    chemins: Objet = field(default_factory=dict)
    en_octets: bool = False
    par_le_flux: bool = False  # l'instantané est une réponse de la connexion
    version: Callable[[int], int] = lambda nonce: nonce - NUMERO
    latence_s: float = 0.02
    borne: int = DERNIER  # niveaux de chaque côté dont le flux parle
    propre: Objet = field(default_factory=dict)  # ce que l'essai change de ses particularités

    def exchange(self, decalage: int) -> Exchange:
        """Celui que joue le serveur ; l'instantané est à tant de versions de l'avant-dernière trame envoyée.

        Par le flux, à tant de la dernière : bitvavo y dit l'état qui la suit.
        """

        def instantane(numero: int) -> Any:
            return self.rest(self.fin(numero) + decalage)

        def repondre(message: Any) -> list[Any]:
            def repondre_a_temps(serveur: Serveur) -> Any:
                return instantane(serveur.dernier + 1)

            return [repondre_a_temps if une is SUR_DEMANDE else une for une in self.repondre(message)]

        return Exchange(
            self.nom, lambda _numero: {}, self.marche_id, self.genre, entier=False, repondre=repondre,
            rest=None if self.par_le_flux else instantane, chemins=self.chemins, en_octets=self.en_octets,
            latence_s=self.latence_s,
        )  # fmt: skip

    def fin(self, numero: int) -> int:
        """La dernière version que dit cette trame."""
        return (numero - PREMIER + 1) * self.par_trame

    def trames(self) -> list[tuple[int, Objet]]:
        """La suite entière."""
        fins = {numero: self.fin(numero) for numero in range(PREMIER, PREMIER + PAS * VERSIONS // self.par_trame)}
        ecarts = {numero: ecart(fin - self.par_trame + 1, fin, self.borne) for numero, fin in fins.items()}
        return [(numero, self.trame(dit)) for numero, dit in ecarts.items()]


SUR_DEMANDE = object()  # à cette place d'une réponse, l'instantané


def _bitstamp(dit: Ecart) -> Objet:
    micros = (INSTANT + dit.fin) * 1000
    return {"event": "data", "channel": "diff_order_book_aaabbb", "data": {
        "timestamp": str(micros // 1_000_000), "microtimestamp": str(micros), "bids": dit.bids,
        "asks": dit.asks}}  # fmt: skip


def _bitstamp_rest(version: int) -> Objet:
    micros = (INSTANT + version) * 1000
    b, a = servi(version)
    return {"timestamp": str(micros // 1_000_000), "microtimestamp": str(micros), "bids": b, "asks": a}


def _xt(dit: Ecart) -> Objet:
    return {"topic": "depth_update", "event": "depth_update@aaa_bbb", "data": {
        "s": "aaa_bbb", "fi": NUMERO + dit.debut, "i": NUMERO + dit.fin, "t": INSTANT + dit.fin, "a": dit.asks,
        "b": dit.bids}}  # fmt: skip


def _xt_rest(version: int) -> Objet:
    b, a = servi(version)
    return {"rc": 0, "mc": "SUCCESS", "ma": [], "result": {
        "bids": b, "asks": a, "timestamp": INSTANT + version, "lastUpdateId": NUMERO + version}}  # fmt: skip


def _xt_swap(dit: Ecart) -> Objet:
    suite = {"pu": str(NUMERO + dit.debut - 1), "fu": str(NUMERO + dit.debut), "u": str(NUMERO + dit.fin)}
    return {"topic": "depth_update", "event": "depth_update@aaa_bbb", "data": {
        "s": "aaa_bbb", **suite, "t": INSTANT + dit.fin, "a": dit.asks, "b": dit.bids}}  # fmt: skip


def _xt_swap_rest(version: int) -> Objet:
    b, a = servi(version)
    return {"returnCode": 0, "msgInfo": "success", "error": None, "result": {
        "b": b, "a": a, "t": INSTANT + version, "u": NUMERO + version, "s": "aaa_bbb"}}  # fmt: skip


def _kucoin(dit: Ecart) -> Objet:
    changes = {"bids": [[*n, "0"] for n in dit.bids], "asks": [[*n, "0"] for n in dit.asks]}
    return {"type": "message", "topic": "/market/level2:AAA-BBB", "subject": "trade.l2update", "data": {
        "sequenceStart": NUMERO + dit.debut, "sequenceEnd": NUMERO + dit.fin, "symbol": "AAA-BBB",
        "time": INSTANT + dit.fin, "changes": changes}}  # fmt: skip


def _kucoin_rest(version: int) -> Objet:
    b, a = servi(version)
    donnees = {"sequence": str(NUMERO + version), "time": INSTANT + version, "bids": b, "asks": a}
    return {"code": "200000", "data": donnees}


def _kucoin_swap(dit: Ecart) -> Objet:
    """Un niveau par trame."""
    ((cote, (prix, nombre)),) = [(nom, n) for nom, cote in (("buy", dit.bids), ("sell", dit.asks)) for n in cote]
    return {"type": "message", "topic": "/contractMarket/level2:AAABBBM", "subject": "level2", "data": {
        "sequence": NUMERO + dit.fin, "change": f"{prix},{cote},{nombre}", "timestamp": INSTANT + dit.fin}}  # fmt: skip


def _kucoin_swap_rest(version: int) -> Objet:
    b, a = servi(version)
    donnees = {"sequence": NUMERO + version, "ts": (INSTANT + version) * 1_000_000, "bids": b, "asks": a}
    return {"code": "200000", "data": donnees}


def _mexc(dit: Ecart) -> Objet:
    """Comme la classe le lit d'un protobuf : un côté sans changement n'y est pas."""
    cotes = {nom: [{"price": p, "quantity": q} for p, q in getattr(dit, nom)] for nom in COTES}
    dits = {"eventType": "spot@public.aggre.depth.v3.api.pb@100ms", "fromVersion": str(NUMERO + dit.debut),
            "toVersion": str(NUMERO + dit.fin), **{nom: cote for nom, cote in cotes.items() if cote}}  # fmt: skip
    return {"channel": "spot@public.aggre.depth.v3.api.pb@100ms@AAABBB", "symbol": "AAABBB",
            "sendTime": str(INSTANT + dit.fin), "publicAggreDepths": dits}  # fmt: skip


def _mexc_rest(version: int) -> Objet:
    b, a = servi(version)
    return {"lastUpdateId": NUMERO + version, "bids": b, "asks": a, "timestamp": INSTANT + version}


def _mexc_swap(dit: Ecart) -> Objet:
    b, a = ([[float(p), float(q), 1] for p, q in cote] for cote in (dit.bids, dit.asks))
    return {"channel": "push.depth", "symbol": "AAA_BBB", "ts": INSTANT + dit.fin, "data": {
        "bids": b, "asks": a, "begin": NUMERO + dit.debut, "end": NUMERO + dit.fin,
        "version": NUMERO + dit.fin}}  # fmt: skip


def _mexc_swap_rest(version: int) -> Objet:
    b, a = ([[float(p), float(q), 1] for p, q in cote] for cote in servi(version))
    donnees = {"bids": b, "asks": a, "version": NUMERO + version, "timestamp": INSTANT + version}
    return {"success": True, "code": 0, "data": donnees}


def _backpack(dit: Ecart) -> Objet:
    micros = str((INSTANT + dit.fin) * 1000)
    return {"stream": "depth.AAA_BBB", "data": {"e": "depth", "E": micros, "T": micros, "s": "AAA_BBB",
                                                 "U": NUMERO + dit.debut, "u": NUMERO + dit.fin, "a": dit.asks,
                                                 "b": dit.bids}}  # fmt: skip


def _backpack_rest(version: int) -> Objet:
    b, a = servi(version)
    return {"bids": b, "asks": a, "lastUpdateId": str(NUMERO + version), "timestamp": (INSTANT + version) * 1000}


def _gate_swap(dit: Ecart) -> Objet:
    b, a = ([{"p": p, "s": int(q)} for p, q in cote] for cote in (dit.bids, dit.asks))
    return {"time": 1, "channel": "futures.order_book_update", "event": "update", "result": {
        "t": INSTANT + dit.fin, "s": "AAA_BBB", "U": NUMERO + dit.debut, "u": NUMERO + dit.fin, "b": b,
        "a": a}}  # fmt: skip


def _gate_swap_rest(version: int) -> Objet:
    b, a = ([{"p": p, "s": int(q)} for p, q in cote] for cote in servi(version))
    return {"id": NUMERO + version, "current": (INSTANT + version) / 1000, "update": 1, "bids": b, "asks": a}


def _bitvavo(dit: Ecart) -> Objet:
    return {"event": "book", "market": "AAA-BBB", "nonce": NUMERO + dit.fin, "bids": dit.bids, "asks": dit.asks}


def _bitvavo_rest(version: int) -> Objet:
    b, a = servi(version)
    return {"action": "getBook", "response": {"market": "AAA-BBB", "nonce": NUMERO + version, "bids": b, "asks": a}}


def _ack_bitstamp(message: Any) -> list[Any]:
    return [{"event": "bts:subscription_succeeded", "channel": message["data"]["channel"], "data": {}}]


def _ack_bitvavo(message: Any) -> list[Any]:
    abonnee = {"event": "subscribed", "subscriptions": {"book": ["AAA-BBB"]}}
    return [abonnee if message["action"] == "subscribe" else SUR_DEMANDE]


RACCORDS = [
    Raccord("xt", "aaa_bbb", _xt, _xt_rest),
    Raccord("xt", "aaa_bbb", _xt_swap, _xt_swap_rest, "swap.linear"),
    Raccord("bitstamp", "aaabbb", _bitstamp, _bitstamp_rest, repondre=_ack_bitstamp,
            version=lambda nonce: nonce // 1000 - INSTANT),
    Raccord("mexc", "AAABBB", _mexc, _mexc_rest, en_octets=True),
    Raccord("mexc", "AAA_BBB", _mexc_swap, _mexc_swap_rest, "swap.linear", repondre=ack_mexc),
    Raccord("kucoin", "AAA-BBB", _kucoin, _kucoin_rest, repondre=ack_kucoin, chemins=jeton_kucoin()),
    Raccord("kucoin", "AAABBBM", _kucoin_swap, _kucoin_swap_rest, "swap.linear", par_trame=1, repondre=ack_kucoin,
            chemins=jeton_kucoin()),
    Raccord("backpack", "AAA_BBB", _backpack, _backpack_rest),
    Raccord("gate", "AAA_BBB", _gate_swap, _gate_swap_rest, "swap.linear", repondre=ack_gate, latence_s=0.1,
            borne=SERVIS, propre={"profondeurs": (SERVIS,)}),
    Raccord("bitvavo", "AAA-BBB", _bitvavo, _bitvavo_rest, par_trame=1, repondre=_ack_bitvavo, par_le_flux=True),
]  # fmt: skip
