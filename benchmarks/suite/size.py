"""How large the programs and the library are, and how long a user waits for the compiler."""
import pathlib
import re
import subprocess
import tempfile

PROGRAMS = ["custom_encoder", "own_op", "streaming_zipformer", "autoencoder", "codec_mini", "digits", "ssl",
            "unit_discovery", "quantizer_zoo"]


def stripped_bytes(program):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["strip", "-s", "-o", f"{folder}/program", str(program)], check=True)
        return pathlib.Path(f"{folder}/program").stat().st_size


def section_bytes(files):
    """Code, constants and data of objects or of a library's members."""
    if not files:
        return 0
    lines = subprocess.run(["size", *map(str, files)], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return sum(int(line.split()[0]) + int(line.split()[1]) for line in lines[1:])


def programs_in(build):
    """Examples that are built, by name."""
    found = {}
    for name in PROGRAMS:
        for path in (build / "examples" / name, build / "examples" / name / name):
            if path.is_file():
                found[name] = path
    return found


def measure(root, build, compiling):
    objects = {path.name.removeprefix("phonaut_cpu_").removesuffix(".dir"): sorted(path.rglob("*.o"))
               for path in sorted((build / "CMakeFiles").glob("phonaut_cpu_*.dir"))}
    kernels = {isa: section_bytes(files) for isa, files in objects.items()}
    size = {"programs": {name: stripped_bytes(path) for name, path in programs_in(build).items()}, "kernels": kernels,
            "rest": section_bytes([build / "libphonaut_cpu.a"]) - sum(kernels.values())}
    if compiling:
        size["compiling"] = compile_seconds(root, build)
    return size


def compile_seconds(root, build):
    """Processor time, as the test of it has it."""
    said = subprocess.run([str(root / "tests/check_compile_time"), str(root), str(build), "g++"], stdout=subprocess.PIPE,
                          text=True).stdout
    return {what: float(seconds) for what, seconds in re.findall(r"^(.*): ([\d.]+) s, limit", said, re.MULTILINE)}
