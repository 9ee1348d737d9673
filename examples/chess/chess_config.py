"""The chess example: chess.com's published-data API as one rest_api configuration, nested lists included."""

from __future__ import annotations

from typing import Any

import dlt

PLAYERS = ("magnuscarlsen", "vincentkeymer", "dommarajugukesh", "rpragchess")
MONTHS = [f"{year}/{month:02}" for year in (2021, 2022) for month in range(1, 13)]


def chess_config(base_url: str, players: tuple[str, ...] = PLAYERS, months: list[str] | None = None) -> Any:
    """Profiles, lists of archives and games of some players; works with dlt's rest_api and headrace's alike."""
    wanted = MONTHS if months is None else months

    @dlt.resource(name="players", selected=False)
    def player_list() -> Any:
        yield [{"username": player} for player in players]

    @dlt.resource(name="player_months", selected=False)
    def month_list() -> Any:
        yield [{"username": player, "month": month} for player in players for month in wanted]

    return {
        "client": {"base_url": base_url, "headers": {"User-Agent": "headrace chess example"}},
        "resource_defaults": {"endpoint": {"paginator": "single_page"}, "write_disposition": "replace"},
        "resources": [
            player_list,
            month_list,
            {
                "name": "players_profiles",
                "endpoint": {"path": "player/{resources.players.username}", "data_selector": "$"},
            },
            {
                "name": "players_archives",
                "endpoint": {"path": "player/{resources.players.username}/games/archives", "data_selector": "$"},
                "include_from_parent": ["username"],
            },
            {
                "name": "players_games",
                "endpoint": {
                    "path": "player/{resources.player_months.username}/games/{resources.player_months.month}",
                    "data_selector": "games",
                },
                "include_from_parent": ["username"],
            },
        ],
    }
