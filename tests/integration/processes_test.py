"""The ports that a stack chooses: free now, and free again after their server was down for a while."""

import pathlib
import socket
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy" / "local" / "lib"))

import processes  # noqa: E402


class FreePort(unittest.TestCase):
    def test_no_outgoing_connection_can_take_it(self):
        low, high = (int(number) for number in pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        for port in (processes.free_port() for _ in range(200)):
            self.assertFalse(low <= port <= high, port)
            self.assertGreaterEqual(port, 1024)

    def test_none_is_given_twice(self):
        ports = [processes.free_port() for _ in range(200)]
        self.assertEqual(len(set(ports)), len(ports))

    def test_the_preferred_one_unless_something_listens_there(self):
        free = processes.free_port()
        self.assertEqual(processes.free_port(free), free)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assertNotEqual(processes.free_port(port), port)


class Taken(unittest.TestCase):
    def test_what_ends_soon_has_not_taken_it(self):
        with socket.socket() as ending:
            ending.bind(("127.0.0.1", 0))
            ending.listen()
            port = ending.getsockname()[1]
            self.assertTrue(processes.taken(port, 0.3))
            closing = threading.Timer(0.5, ending.close)
            closing.start()
            self.assertFalse(processes.taken(port, 10))
            closing.join()


if __name__ == "__main__":
    unittest.main()
