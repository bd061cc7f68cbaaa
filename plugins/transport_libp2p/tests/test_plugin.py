from __future__ import annotations

import subprocess
import sys


def test_registering_does_not_import_libp2p() -> None:
    code = (
        "import sys; from photon_transport_libp2p.plugin import photon_register_transport;"
        "print([record.name for record in photon_register_transport()], 'libp2p' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['libp2p'] False"


def test_the_front_page_of_libp2p_is_still_there_for_others() -> None:
    code = (
        "import sys; import photon_transport_libp2p.library; assert 'libp2p.relay' not in sys.modules;"
        "import libp2p; print(libp2p.new_host.__name__)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "new_host"
