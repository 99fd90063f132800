"""Stands at systemd's socket: writes down what it is told, a line each, and closes what comes along, which is the answer."""
import array, os, socket

path = "/run/notify"
if os.path.exists(path):
    os.unlink(path)
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(path)
os.chmod(path, 0o666)
print("listening", flush=True)
while True:
    message, ancillary, _, _ = receiver.recvmsg(4096, 4096)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors = array.array("i")
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            for descriptor in descriptors:
                os.close(descriptor)
    # By it systemd-notify learns that what it said before was read.
    if message.startswith(b"BARRIER="):
        continue
    with open("/run/notified", "a") as log:
        log.write(message.decode().rstrip("\n") + "\n")
