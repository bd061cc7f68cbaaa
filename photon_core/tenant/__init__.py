"""The tenant's side: what the CLI and third parties call.

    async with NodeClient(url) as node, open_tenant(node, key, home=home, make_transport=make) as tenant:
        plan = await tenant.plan(path)
        deployment = await tenant.deploy(plan)
        async with tenant.following(deployment) as steps:
            async for step in steps: ...
        print(await tenant.close(deployment))

Start with `client.py`; `keeper.py` is `photon serve`.
"""
