// The platform polls, and unsubscribes, at the address that a Location header names. The API names its own, and what goes
// there directly carries neither the connection's key nor its host. So the platform's gateway is put in its place: what
// stands before the API's root in the address that the platform has called.
public class Script : ScriptBase
{
    private const string ApiRoot = "/v1/";

    public override async Task<HttpResponseMessage> ExecuteAsync()
    {
        HttpResponseMessage response = await this.Context
            .SendAsync(this.Context.Request, this.CancellationToken)
            .ConfigureAwait(continueOnCapturedContext: false);

        bool isFollowed = response.StatusCode == HttpStatusCode.Created || response.StatusCode == HttpStatusCode.Accepted;
        if (isFollowed && response.Headers.Location != null)
        {
            response.Headers.Location = this.ThroughTheGateway(response.Headers.Location);
        }

        return response;
    }

    private Uri ThroughTheGateway(Uri location)
    {
        string called = this.Context.OriginalRequestUri.GetLeftPart(UriPartial.Path);
        string named = location.OriginalString;
        int gatewayLength = called.LastIndexOf(ApiRoot, StringComparison.Ordinal);
        int hostLength = named.LastIndexOf(ApiRoot, StringComparison.Ordinal);
        bool areKnown = gatewayLength >= 0 && hostLength >= 0;
        return areKnown ? new Uri(called.Substring(0, gatewayLength) + named.Substring(hostLength)) : location;
    }
}
