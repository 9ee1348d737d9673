"""A local stand-in for chess.com's published-data API: its shape, an API's latency. Prints its port, serves until killed.

Games: the PGN files of the `chess` package's source distribution where they were unpacked (`--real FOLDER`), the other months
filled with legal games that the library makes. Every game says which it is in its `rules_source` tag of the PGN.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import chess
import chess.pgn
from chess_config import MONTHS, PLAYERS

GAMES_A_MONTH = 30
_MOVES = 24


def made_game(rng: random.Random, player: str, month: str, number: int) -> dict[str, Any]:
    """A legal game in the API's shape."""
    board = chess.Board()
    game = chess.pgn.Game()
    game.headers["Event"] = "made by examples/chess/replica.py"
    node: chess.pgn.GameNode = game
    for _ in range(_MOVES):
        moves = list(board.legal_moves)
        if not moves:
            break
        move = rng.choice(moves)
        board.push(move)
        node = node.add_variation(move)
    return _api_game(rng, player, month, number, str(game), board.fen())


def _api_game(rng: random.Random, player: str, month: str, number: int, pgn: str, fen: str) -> dict[str, Any]:
    year, month_of_year = map(int, month.split("/"))
    opponent = rng.choice([name for name in PLAYERS if name != player])
    sides = [player, opponent] if number % 2 else [opponent, player]
    result = rng.choice([("win", "resigned"), ("checkmated", "win"), ("agreed", "agreed")])

    def side(name: str, outcome: str) -> dict[str, Any]:
        return {
            "rating": rng.randrange(2400, 3000),
            "result": outcome,
            "@id": f"https://api.chess.com/pub/player/{name}",
            "username": name,
            "uuid": f"{abs(hash_of(name)):032x}",
        }

    game: dict[str, Any] = {
        "url": f"https://www.chess.com/game/live/{hash_of(f'{player}{month}{number}') % 10**11}",
        "pgn": pgn,
        "time_control": rng.choice(["180", "60", "180+1", "600"]),
        "end_time": 1609459200 + ((year - 2021) * 12 + month_of_year - 1) * 2629800 + number * 3600,
        "rated": rng.random() < 0.95,
        "tcn": "".join(rng.choice("mCZJgvkA") for _ in range(16)),
        "uuid": f"{hash_of(f'{player}{month}{number}u'):032x}",
        "initial_setup": chess.STARTING_FEN,
        "fen": fen,
        "time_class": rng.choice(["blitz", "bullet", "rapid"]),
        "rules": "chess",
        "white": side(sides[0], result[0]),
        "black": side(sides[1], result[1]),
    }
    if rng.random() < 0.5:
        game["accuracies"] = {"white": round(rng.uniform(70, 99), 2), "black": round(rng.uniform(70, 99), 2)}
    return game


def hash_of(text: str) -> int:
    """A number that is the same in every process."""
    return int.from_bytes(random.Random(text).randbytes(12), "big")


def real_games(folder: Path | None) -> list[tuple[str, str]]:
    """(PGN, last position) of the games in the folder's PGN files."""
    found: list[tuple[str, str]] = []
    for path in sorted(folder.rglob("*.pgn")) if folder else []:
        with open(path, encoding="utf-8", errors="replace") as file:
            while len(found) < 200 and (game := chess.pgn.read_game(file)) is not None:
                if not game.errors and game.headers.get("Variant", "Standard") == "Standard":
                    found.append((str(game), game.end().board().fen()))
    return found


def documents(folder: Path | None) -> tuple[dict[str, bytes], int]:
    """Path -> body of everything the API serves, and how many games are real."""
    out: dict[str, Any] = {}
    real = real_games(folder)
    n_real = 0
    for player in PLAYERS:
        base = f"/pub/player/{player}"
        out[base] = {
            "@id": f"https://api.chess.com{base}",
            "url": f"https://www.chess.com/member/{player}",
            "username": player,
            "player_id": hash_of(player) % 10**8,
            "title": "GM",
            "followers": hash_of(player) % 10**5,
            "joined": 1400000000 + hash_of(player) % 10**7,
            "is_streamer": player == "magnuscarlsen",
            "verified": False,
            "league": "Legend",
            "streaming_platforms": [{"type": "twitch", "channel_url": f"https://twitch.tv/{player}"}],
        }
        out[f"{base}/games/archives"] = {"archives": [f"https://api.chess.com{base}/games/{month}" for month in MONTHS]}
        for month in MONTHS:
            rng = random.Random(f"{player}/{month}")
            games = []
            for number in range(GAMES_A_MONTH):
                if real and number == 0 and n_real < len(real):
                    pgn, fen = real[n_real]
                    n_real += 1
                    games.append(_api_game(rng, player, month, number, pgn, fen))
                else:
                    games.append(made_game(rng, player, month, number))
            out[f"{base}/games/{month}"] = {"games": games}
    return {path: json.dumps(body).encode() for path, body in out.items()}, n_real


def cached_documents(folder: Path | None, cache: Path) -> tuple[dict[str, bytes], int]:
    """The documents, made once."""
    if not cache.exists():
        bodies, n_real = documents(folder)
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps([n_real, {path: body.decode() for path, body in bodies.items()}]))
    n_real, texts = json.loads(cache.read_text())
    return {path: text.encode() for path, text in texts.items()}, n_real


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=60, help="milliseconds")
    parser.add_argument("--serial-only", action="store_true", help="429 to parallel requests, as the real API")
    parser.add_argument("--real", type=Path, help="folder with PGN files")
    parser.add_argument("--cache", type=Path, default=Path(".headrace/chess.json"))
    options = parser.parse_args()
    bodies, n_real = cached_documents(options.real, options.cache)
    lock = threading.Lock()
    in_flight = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            nonlocal in_flight
            with lock:
                in_flight += 1
                parallel = in_flight > 1
            try:
                if options.serial_only and parallel:
                    self._send(429, b'{"code": 0, "message": "Too Many Requests"}')
                    return
                time.sleep(options.latency / 1000)
                body = bodies.get(self.path)
                self._send(404 if body is None else 200, body or b'{"code": 0, "message": "not found"}')
            finally:
                with lock:
                    in_flight -= 1

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    n_games = sum(body.count(b'"pgn"') for body in bodies.values())
    print(server.server_port, n_games, n_real, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
