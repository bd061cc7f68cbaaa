"""`photon up`: a whole network on this machine.

command.py     the verb and its options
layout.py      who the members are, and what the folder of a network holds
blueprint.py   made once per network: keys, genesis, money
settings.py    made at each start: ports, the members' configuration
children.py    processes: forked before anything else, told later what to run, dead when `up` is
members.py     starting them, watching them, ending them
leftovers.py   what a killed `up` left, found and removed by the next
network.py     all of it in order
demo.py        one deployment from its file to its answer and back to the last uptn
"""
