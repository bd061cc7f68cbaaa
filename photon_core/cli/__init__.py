"""The command line. `main` is `photon`; `verbs.py` is the table of its commands; `frame/` is what they all stand on."""

try:
    from photon_core.cli.frame.group import PhotonGroup
    from photon_core.cli.frame.options import add_common_options
except KeyboardInterrupt:  # while it imports; `PhotonGroup.main` answers Ctrl-C from then on
    raise SystemExit(130) from None

main = add_common_options(
    PhotonGroup(
        "photon",
        help="Photon: a market where independent providers sell computing capacity and tenants rent it to run "
        "containers.\n\nEvery command explains itself: photon COMMAND --help.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
)
