# Installed package: find_package(phonaut), pkg-config phonaut.
